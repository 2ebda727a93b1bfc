//! The name in a client's certificate.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// `commonName` (2.5.4.3).
const COMMON_NAME: &str = "2.5.4.3";

/// Maximum length of a name, bytes.
const NAME_BYTES_MAX: usize = 256;

/// Returns the common name of the subject; without one, the first alternative name that is an email
/// address, a DNS name or a URI. Returns `None` if it has neither, more than one common name, or
/// one that is empty, longer than 256 bytes, or not printable: then its holder has no identity.
///
/// Only for verified certificates.
pub(super) fn name_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let tbs = certificate.tbs_certificate();
    let mut common = tbs.subject().iter().filter(|part| part.oid.to_string() == COMMON_NAME);
    let name = match (common.next(), common.next()) {
        (Some(_), Some(_)) => None,
        (Some(name), None) => match name.value.tag() {
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
                std::str::from_utf8(name.value.value()).ok().map(str::to_owned)
            }
            _ => None,
        },
        (None, _) => {
            let (_, SubjectAltName(names)) = tbs.get_extension().ok()??;
            names.iter().find_map(|name| match name {
                GeneralName::Rfc822Name(name)
                | GeneralName::DnsName(name)
                | GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
                _ => None,
            })
        }
    };
    name.filter(|name| {
        let printable = name.chars().all(|c| !c.is_control());
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && printable
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn name(common: &[&str], alternative: &[&str]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme");
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = alternative
            .iter()
            .map(|name| match name.split_once(':') {
                Some(("mail", name)) => SanType::Rfc822Name(name.try_into().unwrap()),
                Some(("uri", name)) => SanType::URI(name.try_into().unwrap()),
                Some(("ip", name)) => SanType::IpAddress(name.parse().unwrap()),
                _ => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let key = KeyPair::generate().unwrap();
        name_of(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn tls4_a_name_is_the_common_name_or_the_first_alternative() {
        for (common, alternative, expected) in [
            (&["ann"][..], &["web.example"][..], Some("ann")),
            (&["Ann Müller"], &[], Some("Ann Müller")),
            (&[], &["web.example", "mail:ann@web.example"], Some("web.example")),
            (&[], &["ip:127.0.0.1", "mail:ann@web.example"], Some("ann@web.example")),
            (&[], &["uri:spiffe://web/ann"], Some("spiffe://web/ann")),
            (&[], &["ip:127.0.0.1"], None),
            (&[], &[], None),
            (&[""], &["web.example"], None),
            (&["ann\nroot"], &[], None),
            (&[&*"x".repeat(257)], &[], None),
        ] {
            assert_eq!(name(common, alternative).as_deref(), expected, "{common:?}");
        }
        assert_eq!(name_of(&CertificateDer::from(&b"no certificate"[..])), None);
    }
}
