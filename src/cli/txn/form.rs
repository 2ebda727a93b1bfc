//! The form of a transaction: one JSON object with `compare`, `success`, `failure`.

use serde_json::Value;

use super::fields::FormFields;
use crate::{
    Compare, CompareOp, CompareTarget, DeleteRequest, GetRequest, RangeOrder, RangeRequest,
    SetRequest, TxnOp, TxnRequest, duration,
};

/// Shown by `wakeful txn --help`. One line per entry: clap wraps them.
pub(super) const FORM: &str = r#"The form; every member is optional except keys and the value of a set:
  {
    "compare": [{"key": "a", "target": "value", "op": "=", "value": "1"}],
    "success": [{"set": {"key": "a", "value": "2"}}],
    "failure": [{"get": {"key": "a"}}]
  }
  compare   target: value (default), version, create, mod, lease; op: = (default), !=, <, >
  set       key, value, lease, ttl ("30s"), always (true: as `set --always`), previous
  get       key, revision
  range     revision, limit, descending, keys_only, count_only; one page
  delete    previous

Compare, range and delete take `key`, or `prefix`, or `from` and `to`, or `"all": true`. Every target except value is a number, which is 0 for a key that does not exist. Bytes that are not UTF-8 are written as {"key": {"base64": "/v8="}}, or as key_base64. Numbers may be strings of digits."#;

/// Parses the form. An error names the place in the form.
pub(super) fn parse(text: &[u8]) -> Result<TxnRequest, String> {
    let value: Value =
        serde_json::from_slice(text).map_err(|error| format!("not a JSON object: {error}"))?;
    let mut form = FormFields::new("transaction", value)?;
    let request = TxnRequest {
        compares: each("compare", form.list("compare")?, compare)?,
        success: each("success", form.list("success")?, operation)?,
        failure: each("failure", form.list("failure")?, operation)?,
    };
    form.end()?;
    Ok(request)
}

fn each<T>(
    name: &str,
    items: Vec<Value>,
    read: impl Fn(FormFields) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let read = |(at, item)| read(FormFields::new(format!("{name}[{at}]"), item)?);
    items.into_iter().enumerate().map(read).collect()
}

fn compare(mut fields: FormFields) -> Result<Compare, String> {
    let range = fields.range()?;
    let op = match fields.text("op")?.as_deref() {
        None | Some("=" | "==") => CompareOp::Equal,
        Some("!=") => CompareOp::NotEqual,
        Some("<") => CompareOp::Less,
        Some(">") => CompareOp::Greater,
        Some(_) => return fields.refuse("`op` must be one of =, !=, <, >"),
    };
    let target = fields.text("target")?;
    let target = match target.as_deref() {
        None | Some("value") => CompareTarget::Value(fields.bytes_required("value")?),
        Some("version") => CompareTarget::Version(number(&mut fields)?),
        Some("create") => CompareTarget::CreateRevision(number(&mut fields)?),
        Some("mod") => CompareTarget::ModRevision(number(&mut fields)?),
        Some("lease") => CompareTarget::Lease(number(&mut fields)?),
        Some(_) => {
            return fields.refuse("`target` must be one of value, version, create, mod, lease");
        }
    };
    fields.end()?;
    Ok(Compare { range, op, target })
}

fn number(fields: &mut FormFields) -> Result<u64, String> {
    match fields.number("value")? {
        Some(number) => Ok(number),
        None => fields.refuse("`value` is missing"),
    }
}

/// Reads an object with one member, whose name is the operation.
fn operation(mut fields: FormFields) -> Result<TxnOp, String> {
    const NAMES: [&str; 4] = ["set", "get", "range", "delete"];
    let mut given = Vec::new();
    for name in NAMES {
        if let Some(value) = fields.take(name) {
            given.push((name, FormFields::new(format!("{}.{name}", fields.place()), value)?));
        }
    }
    let (Some((name, inner)), true) = (given.pop(), given.is_empty()) else {
        return fields.refuse("must have one of `set`, `get`, `range`, `delete`");
    };
    fields.end()?;
    match name {
        "set" => set(inner).map(TxnOp::Set),
        "get" => get(inner).map(TxnOp::Get),
        "range" => range(inner).map(TxnOp::Range),
        _ => delete(inner).map(TxnOp::Delete),
    }
}

fn set(mut fields: FormFields) -> Result<SetRequest, String> {
    let ttl = match fields.text("ttl")? {
        None => None,
        Some(text) => match duration::parse(&text) {
            Ok(ttl) => Some(ttl),
            Err(refusal) => return fields.refuse(&refusal),
        },
    };
    let request = SetRequest {
        key: fields.bytes_required("key")?,
        value: fields.bytes_required("value")?,
        lease: fields.number("lease")?.unwrap_or(0),
        ttl,
        only_if_changed: !fields.flag("always")?.unwrap_or(false),
        return_previous: fields.flag("previous")?.unwrap_or(false),
    };
    fields.end()?;
    Ok(request)
}

fn get(mut fields: FormFields) -> Result<GetRequest, String> {
    let request = GetRequest {
        key: fields.bytes_required("key")?,
        revision: fields.number("revision")?.unwrap_or(0),
    };
    fields.end()?;
    Ok(request)
}

fn range(mut fields: FormFields) -> Result<RangeRequest, String> {
    let limit = fields.number("limit")?.unwrap_or(0);
    let request = RangeRequest {
        revision: fields.number("revision")?.unwrap_or(0),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        order: match fields.flag("descending")? {
            Some(true) => RangeOrder::Descending,
            _ => RangeOrder::Ascending,
        },
        keys_only: fields.flag("keys_only")?.unwrap_or(false),
        count_only: fields.flag("count_only")?.unwrap_or(false),
        ..RangeRequest::new(fields.range()?)
    };
    fields.end()?;
    Ok(request)
}

fn delete(mut fields: FormFields) -> Result<DeleteRequest, String> {
    let request = DeleteRequest {
        return_previous: fields.flag("previous")?.unwrap_or(false),
        range: fields.range()?,
    };
    fields.end()?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyRange;
    use std::time::Duration;

    #[test]
    fn reads_every_member() {
        let request = parse(
            br#"{
                "compare": [
                    {"key": "a", "target": "version", "op": "=", "value": 0},
                    {"prefix": "b", "op": "!=", "value": "x"},
                    {"from": "c", "target": "mod", "op": "<", "value": 9},
                    {"all": true, "target": "create", "op": ">", "value": 1},
                    {"key_base64": "/w==", "target": "lease", "value": 5}
                ],
                "success": [
                    {"set": {"key": "a", "value": "1", "ttl": "30s", "previous": true}},
                    {"set": {"key": "b", "value": {"base64": "/w=="}, "lease": "5", "always": true}},
                    {"get": {"key": "a", "revision": 3}}
                ],
                "failure": [
                    {"range": {"from": "a", "to": "c", "limit": 2, "descending": true,
                               "keys_only": true}},
                    {"range": {"all": true, "count_only": true, "revision": 7}},
                    {"delete": {"prefix": "a", "previous": true}}
                ]
            }"#,
        )
        .unwrap();
        let compare = |range, op, target| Compare { range, op, target };
        assert_eq!(
            request.compares,
            [
                compare(KeyRange::key("a"), CompareOp::Equal, CompareTarget::Version(0)),
                compare(
                    KeyRange::prefix("b"),
                    CompareOp::NotEqual,
                    CompareTarget::Value("x".into())
                ),
                compare(KeyRange::range("c", ""), CompareOp::Less, CompareTarget::ModRevision(9)),
                compare(KeyRange::all(), CompareOp::Greater, CompareTarget::CreateRevision(1)),
                compare(KeyRange::key(b"\xff"), CompareOp::Equal, CompareTarget::Lease(5)),
            ]
        );
        let plain = SetRequest { only_if_changed: true, ..SetRequest::new("a", "1") };
        assert_eq!(
            request.success,
            [
                TxnOp::Set(SetRequest {
                    ttl: Some(Duration::from_secs(30)),
                    return_previous: true,
                    ..plain
                }),
                TxnOp::Set(SetRequest { lease: 5, ..SetRequest::new("b", b"\xff") }),
                TxnOp::Get(GetRequest { key: "a".into(), revision: 3 }),
            ]
        );
        assert_eq!(
            request.failure,
            [
                TxnOp::Range(RangeRequest {
                    limit: 2,
                    order: RangeOrder::Descending,
                    keys_only: true,
                    ..RangeRequest::new(KeyRange::range("a", "c"))
                }),
                TxnOp::Range(RangeRequest {
                    count_only: true,
                    revision: 7,
                    ..RangeRequest::new(KeyRange::all())
                }),
                TxnOp::Delete(DeleteRequest {
                    range: KeyRange::prefix("a"),
                    return_previous: true
                }),
            ]
        );
    }

    #[test]
    fn the_form_in_the_help_is_one() {
        let example: String = FORM
            .lines()
            .skip_while(|l| *l != "  {")
            .take_while(|l| !l.contains("target:"))
            .collect();
        assert_eq!(parse(example.as_bytes()).unwrap().compares.len(), 1);
    }

    #[test]
    fn a_refusal_says_where() {
        for (form, refusal) in [
            ("", "not a JSON object"),
            ("[]", "transaction: must be an object"),
            (
                r#"{"compares":[]}"#,
                "transaction: unknown member `compares`; the members are compare, success, failure",
            ),
            (r#"{"compare":{}}"#, "transaction: `compare` must be a list"),
            (r#"{"compare":[{"value":"x"}]}"#, "compare[0]: which keys?"),
            (r#"{"compare":[{"key":"a"}]}"#, "compare[0]: `value` is missing"),
            (r#"{"compare":[{"key":"a","op":"~","value":"x"}]}"#, "compare[0]: `op` must be"),
            (r#"{"compare":[{"key":"a","target":"x","value":"x"}]}"#, "compare[0]: `target` must"),
            (
                r#"{"compare":[{"key":"a","target":"mod","value":"one"}]}"#,
                "compare[0]: `value` must be a whole",
            ),
            (r#"{"success":[{}]}"#, "success[0]: must have one of"),
            (
                r#"{"success":[{"get":{"key":"a"},"set":{"key":"a","value":""}}]}"#,
                "success[0]: must have one of",
            ),
            (r#"{"success":[{"get":{"key":"a"},"x":1}]}"#, "success[0]: unknown member `x`"),
            (r#"{"success":[{"set":{"key":"a"}}]}"#, "success[0].set: `value` is missing"),
            (
                r#"{"success":[{"set":{"key":"a","value":"","ttl":"5"}}]}"#,
                "success[0].set: `5` is not a duration",
            ),
            (
                r#"{"success":[{"set":{"key":1,"value":""}}]}"#,
                "success[0].set: `key` must be a string",
            ),
            (
                r#"{"failure":[{"get":{"key_base64":"?"}}]}"#,
                "failure[0].get: `key_base64` is not base64",
            ),
            (
                r#"{"failure":[{"delete":{"key":"a","prefix":"a"}}]}"#,
                "failure[0].delete: which keys?",
            ),
            (r#"{"failure":[{"delete":{"to":"a"}}]}"#, "failure[0].delete: `to` needs `from`"),
        ] {
            let said = parse(form.as_bytes()).unwrap_err();
            assert!(said.starts_with(refusal), "{form}: {said}");
        }
    }
}
