//! JSON in the [`Inbox`]: objects in place of frames.

use std::time::Instant;

use super::{InboundFrame, Inbox, ProtocolError, is_login};
use crate::config::RpcConfig;
use crate::rpc::json::{JsonCall, RequestLimits, Split, SplitError, ValueLimits, understand};

impl Inbox {
    /// Understands `bytes` as far as there are whole objects and there is room; tells how far.
    pub(super) fn parse_json(
        &mut self,
        bytes: &[u8],
        now: Instant,
        config: &RpcConfig,
    ) -> Result<usize, ProtocolError> {
        if let Some(why) = self.broken {
            return Err(ProtocolError::Silent(why));
        }
        let limits = RequestLimits::of(config);
        let bytes_max =
            if self.stranger { config.login_frame_bytes_max } else { config.frame_bytes_max };
        let bounds = ValueLimits { bytes_max, depth_max: config.json_depth_max };
        let mut rest = bytes;
        loop {
            if self.has_enough(config) {
                self.full = true;
                break;
            }
            match self.splitter.split(rest, bounds) {
                Ok(Split::Partial { space }) => {
                    rest = rest.get(space..).unwrap_or_default();
                    break;
                }
                Ok(Split::Whole { space, end }) => {
                    let value = rest.get(space..end).unwrap_or_default();
                    rest = rest.get(end..).unwrap_or_default();
                    match understand(value, now, limits) {
                        Err(why) => return self.break_off(bytes, why),
                        Ok(ask) => {
                            self.heavy += usize::from(is_heavy_what(&ask.what));
                            let received = InboundFrame::Json(ask);
                            let login = self.stranger && is_login(&received);
                            self.received.push(received);
                            if login {
                                // How long what follows may be depends on what comes of it.
                                self.full = true;
                                break;
                            }
                        }
                    }
                }
                Err(SplitError::TooLong) if self.stranger => {
                    let why = "JSON longer than rpc.login_frame_bytes_max, before a login";
                    return self.break_off(bytes, why);
                }
                Err(error) => return self.break_off(bytes, error.why()),
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Nothing after this can be understood; what came before it still has its turn.
    fn break_off(&mut self, bytes: &[u8], why: &'static str) -> Result<usize, ProtocolError> {
        if self.received.is_empty() {
            return Err(ProtocolError::Silent(why));
        }
        self.broken = Some(why);
        self.full = true;
        Ok(bytes.len())
    }
}

/// Whether it may take much longer than a look-up.
fn is_heavy_what(what: &JsonCall) -> bool {
    match what {
        JsonCall::Call { call: Ok(call), .. } => call.facts().weight.is_heavy(),
        // All that is in flight is looked through.
        JsonCall::Cancel(_) => true,
        // A stream, and a watch on it, of which a read takes no more than of other requests.
        JsonCall::WatchOpen(_) | JsonCall::WatchNext(_) | JsonCall::WatchClose(_) => false,
        JsonCall::Call { call: Err(_), .. } | JsonCall::Refused(_) | JsonCall::NoParams(_) => false,
        JsonCall::Hello(_) | JsonCall::Ping | JsonCall::Goodbye => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Config;

    fn ids(inbox: &mut Inbox) -> Vec<String> {
        let ids = inbox.take().into_iter().map(|received| match received {
            InboundFrame::Json(ask) => String::from_utf8(ask.id.to_vec()).unwrap(),
            _ => panic!("it is not JSON"),
        });
        ids.collect()
    }

    #[test]
    fn g1_objects_may_be_split_and_joined_anywhere() {
        let script = concat!(
            r#"{"method":"KVStoreService.Get","params":["a"],"id":1}"#,
            "\n \r\n",
            r#"{"method":"Wakeful.Range","params":[{"range":{"prefix":""}}],"id":"}{"}{"id":3}"#,
            r#"{"method":"KVStoreService.Get","params":["a"],"id":[4]}  "#
        );
        let expected = ["1", "\"}{\"", "3", "[4]"];
        for (requests, heavy) in [(1, 1), (2, 1), (100, 100)] {
            let mut config = Config::new().rpc;
            (config.requests_in_flight_max, config.heavy_requests_max) = (requests, heavy);
            for size in 1..=script.len() {
                let (mut inbox, mut told) = (Inbox::new(), Vec::new());
                for piece in script.as_bytes().chunks(size) {
                    assert!(inbox.push(piece, Instant::now(), &config).is_ok());
                    told.extend(ids(&mut inbox));
                    while inbox.full {
                        assert!(inbox.resume(Instant::now(), &config).is_ok());
                        told.extend(ids(&mut inbox));
                    }
                }
                assert_eq!(told, expected, "in pieces of {size}");
                assert!(inbox.partial.is_empty() && inbox.partial_since.is_none());
                assert!(inbox.is_json() && inbox.is_open());
            }
        }
    }

    #[test]
    fn g1_white_space_may_come_before_the_first_object_but_not_without_end() {
        let config = Config::new().rpc;
        let script = b"\r\n \t\n{\"id\":1}";
        for size in 1..=script.len() {
            let (mut inbox, mut told) = (Inbox::new(), Vec::new());
            for piece in script.chunks(size) {
                assert!(inbox.push(piece, Instant::now(), &config).is_ok());
                told.extend(ids(&mut inbox));
            }
            assert_eq!(told, ["1"], "in pieces of {size}");
            assert!(inbox.is_json());
        }
        let mut inbox = Inbox::new();
        assert!(inbox.push(&[b' '; 1024], Instant::now(), &config).is_ok());
        assert!(!inbox.has_preface(), "it has shown nothing yet");
        let end = inbox.push(b" ", Instant::now(), &config);
        assert!(matches!(end, Err(ProtocolError::NotWakeful(_))));
        let mut inbox = Inbox::new();
        assert!(inbox.push(b" \n", Instant::now(), &config).is_ok());
        let end = inbox.push(b"WAKEFUL\x01", Instant::now(), &config);
        assert!(matches!(end, Err(ProtocolError::NotWakeful(_))));
    }

    #[test]
    fn g4_what_comes_before_malformed_json_has_its_turn() {
        let config = Config::new().rpc;
        let mut inbox = Inbox::new();
        assert!(inbox.push(br#"{"id":1}{"id":2} x {"id":3}"#, Instant::now(), &config).is_ok());
        assert_eq!(ids(&mut inbox), ["1", "2"]);
        assert!(inbox.full);
        let end = inbox.resume(Instant::now(), &config);
        assert!(matches!(end, Err(ProtocolError::Silent("malformed JSON"))));
        let mut inbox = Inbox::new();
        let end = inbox.push(b"{\"id\" 1}", Instant::now(), &config);
        assert!(matches!(end, Err(ProtocolError::Silent("malformed JSON"))));
    }

    #[test]
    fn g4_an_object_has_to_be_whole_in_time() {
        let config = Config::new().rpc;
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut inbox = Inbox::new();
        assert!(inbox.push(b"{\"id\":1}\n", at(0), &config).is_ok());
        assert_eq!(inbox.partial_since, None, "it may be idle");
        assert!(inbox.push(b" {", at(1), &config).is_ok());
        let _ = inbox.take();
        assert!(inbox.push(b"\"id\":", at(2), &config).is_ok());
        assert_eq!(inbox.partial_since, Some(at(1)));
        assert!(inbox.push(b"1} {", at(3), &config).is_ok());
        assert_eq!(inbox.partial_since, Some(at(3)), "the next object");
    }
}
