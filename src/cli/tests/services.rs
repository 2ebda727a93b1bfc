//! `call` and `services`: the services of an application.

use super::*;
use crate::ServiceInfo;
use crate::model::Payload;

#[test]
fn a_method_is_called_with_json() {
    let answer = || [Answer::Reply(Reply::Invoke(Payload::Json(Blob::from("\"hello:x\""))))];
    check(
        "call HelloService.Hello \"x\"",
        answer(),
        expect![[r#"
        > Invoke(Invocation { method: "HelloService.Hello", argument: Json(""x"") })
        "hello:x"
        exit 0
    "#]],
    );
    check(
        "call HelloService.Hello",
        answer(),
        expect![[r#"
        > Invoke(Invocation { method: "HelloService.Hello", argument: Json("null") })
        "hello:x"
        exit 0
    "#]],
    );
    check(
        "call HelloService.Hello x",
        [],
        expect![[r#"
        error: the argument is not JSON (expected value at line 1 column 1); a string is '"text"', quotes and all
        exit 2
    "#]],
    );
    let refusal =
        Error::new(ErrorCode::MethodNotFound, "no method HelloService.Helo is offered here");
    check(
        "call HelloService.Helo 1 --json",
        [Answer::Refusal(refusal)],
        expect![[r#"
        > Invoke(Invocation { method: "HelloService.Helo", argument: Json("1") })
        {"error":{"code":"MethodNotFound","message":"no method HelloService.Helo is offered here"}}
        exit 3
    "#]],
    );
}

#[test]
fn services_are_listed() {
    let service = |name: &str, methods: &[&str]| ServiceInfo {
        name: name.to_owned(),
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
    };
    let offered = vec![service("Clock", &["Now"]), service("HelloService", &["Hello", "Login"])];
    let answer = || [Answer::Reply(Reply::Services(offered.clone()))];
    check(
        "services",
        answer(),
        expect![[r#"
        > Services
        Clock.Now
        HelloService.Hello
        HelloService.Login
        exit 0
    "#]],
    );
    check(
        "services --json",
        answer(),
        expect![[r#"
            > Services
            {"name":"Clock","methods":["Now"]}
            {"name":"HelloService","methods":["Hello","Login"]}
            exit 0
        "#]],
    );
    check(
        "services",
        [Answer::Reply(Reply::Services(vec![]))],
        expect![[r#"
        > Services
        exit 0
    "#]],
    );
}
