//! `topics`, and the actions of `job` on a whole topic or a schedule.

use super::jobs::{job, refused};
use super::*;
use crate::{JobReply, LimitInfo, PushRequest, Schedule, ScheduleInfo, TopicInfo, TopicSettings};

#[test]
fn a_topic_is_cleared_replayed_paused_and_resumed() {
    let changed = |count, more| job(JobReply::Changed { count, more });
    let of = |ready, dead| job(JobReply::Topic(Box::new(TopicInfo { ready, dead, ..topic() })));
    check(
        "job clear resize --yes",
        [of(1030, 0), changed(1024, true), changed(6, false)],
        expect![[r#"
        > Job(Topic("resize"))
        > Job(ClearTopic("resize"))
        > Job(ClearTopic("resize"))
        1030
        exit 0
    "#]],
    );
    check(
        "job replay resize --all --json",
        [of(0, 1030), changed(1024, true), changed(6, false)],
        expect![[r#"
            > Job(Topic("resize"))
            > Job(Replay { topic: "resize", id: None })
            > Job(Replay { topic: "resize", id: None })
            {"count":1030,"more":false}
            exit 0
        "#]],
    );
    // Jobs die again, or are pushed, as fast as they are changed.
    check(
        "job replay resize --all",
        [of(0, 1030), changed(1024, true), changed(1024, true)],
        expect![[r#"
            > Job(Topic("resize"))
            > Job(Replay { topic: "resize", id: None })
            > Job(Replay { topic: "resize", id: None })
            2048
            exit 0
        "#]],
    );
    check(
        "job replay resize 17 18",
        [changed(1, false), changed(1, false)],
        expect![[r#"
        > Job(Replay { topic: "resize", id: Some(17) })
        > Job(Replay { topic: "resize", id: Some(18) })
        2
        exit 0
    "#]],
    );
    check(
        "job replay resize 17 18",
        [refused(ErrorCode::JobNotFound)],
        expect![[r#"
        > Job(Replay { topic: "resize", id: Some(17) })
        error: no, because
        exit 3
    "#]],
    );
    let topic = |paused| job(JobReply::Topic(Box::new(TopicInfo { paused, ..topic() })));
    check(
        "job pause resize",
        [topic(true)],
        expect![[r#"
        > Job(PauseTopic { topic: "resize", paused: true })
        paused resize
        exit 0
    "#]],
    );
    check(
        "job resume resize --json",
        [topic(false)],
        expect![[r#"
            > Job(PauseTopic { topic: "resize", paused: false })
            {"name":"resize","settings":{"concurrency":null,"rate":null,"jobs_max":null,"bytes_max":null,"retry_max":5,"loss_max":null,"backoff":null,"order_limit":null,"order_skips":false},"paused":false,"ready":12,"delayed":3,"reserved":4,"dead":1,"bytes":900,"pushed_total":2000,"done_total":1980,"dead_total":1,"cancelled_total":0,"evicted_total":0,"oldest_ms":150000,"pushed_recent":47,"finished_recent":12345,"waiting_workers":2}
            exit 0
        "#]],
    );
}

#[test]
fn schedules() {
    let schedule = Schedule {
        name: "nightly".into(),
        cron: "0 3 * * *".into(),
        timezone: "Europe/Berlin".into(),
        push: PushRequest::new("report", "today"),
    };
    let info = || ScheduleInfo {
        schedule: schedule.clone(),
        next: Some(1_700_000_000_000),
        pushed: 3,
        missed: 1,
    };
    let listed = |infos| job(JobReply::Schedules(infos));
    // A cron expression has blanks, which these command lines cannot hold.
    check(
        "job schedule nightly @daily report today --tz Europe/Berlin",
        [listed(vec![info()])],
        expect![[r#"
            > Job(SetSchedule(Schedule { name: "nightly", cron: "@daily", timezone: "Europe/Berlin", push: PushRequest { topic: "report", payload: "today", options: PushOptions { index: None, unique: Unfinished, order_key: None, priority: 0, delay: 0ns, retry_max: None, loss_max: None, backoff: None } } }))
            2023-11-14T22:13:20Z
            exit 0
        "#]],
    );
    check(
        "job schedules",
        [listed(vec![info()])],
        expect![[r#"
            > Job(Schedules)
            NAME     NEXT                  PUSHED  MISSED  TOPIC   WHEN
            nightly  2023-11-14T22:13:20Z       3       1  report  0 3 * * * Europe/Berlin
            exit 0
        "#]],
    );
    check(
        "job schedules --json",
        [listed(vec![ScheduleInfo { next: None, ..info() }])],
        expect![[r#"
            > Job(Schedules)
            {"schedule":{"name":"nightly","cron":"0 3 * * *","timezone":"Europe/Berlin","push":{"topic":"report","payload":"today","index":null,"unique":"Unfinished","order_key":null,"priority":0,"delay_ms":0,"retry_max":null,"loss_max":null,"backoff":null}},"next":null,"pushed":3,"missed":1}
            exit 0
        "#]],
    );
    let removed = job(JobReply::Changed { count: 1, more: false });
    check(
        "job unschedule nightly",
        [removed],
        expect![[r#"
        > Job(RemoveSchedule("nightly"))
        ended nightly
        exit 0
    "#]],
    );
    check(
        "job unschedule nightly",
        [refused(ErrorCode::ScheduleNotFound)],
        expect![[r#"
        > Job(RemoveSchedule("nightly"))
        error: no, because
        exit 3
    "#]],
    );
}

fn topic() -> TopicInfo {
    TopicInfo {
        name: "resize".into(),
        settings: TopicSettings { retry_max: Some(5), ..TopicSettings::default() },
        paused: false,
        ready: 12,
        delayed: 3,
        reserved: 4,
        dead: 1,
        bytes: 900,
        pushed_total: 2_000,
        done_total: 1_980,
        dead_total: 1,
        cancelled_total: 0,
        evicted_total: 0,
        oldest: Duration::from_secs(150),
        pushed_recent: 47,
        finished_recent: 12_345,
        waiting_workers: 2,
    }
}

#[test]
fn topics() {
    let listed = || {
        let paused = TopicInfo { name: "mail".into(), paused: true, ready: 0, ..topic() };
        let topics = vec![topic(), paused];
        [job(JobReply::Topics { topics, more: false })]
    };
    check(
        "topics",
        listed(),
        expect![[r#"
            > Job(Topics { after: "", limit: 0 })
            TOPIC   READY  DELAYED  RESERVED  DEAD  OLDEST  IN/S  OUT/S  DONE
            resize     12        3         4     1      2m   4.7   1234  1980  2 waiting
            mail        0        3         4     1       -   4.7   1234  1980  paused
            exit 0
        "#]],
    );
    check(
        "topics list --json",
        listed(),
        expect![[r#"
            > Job(Topics { after: "", limit: 0 })
            {"name":"resize","settings":{"concurrency":null,"rate":null,"jobs_max":null,"bytes_max":null,"retry_max":5,"loss_max":null,"backoff":null,"order_limit":null,"order_skips":false},"paused":false,"ready":12,"delayed":3,"reserved":4,"dead":1,"bytes":900,"pushed_total":2000,"done_total":1980,"dead_total":1,"cancelled_total":0,"evicted_total":0,"oldest_ms":150000,"pushed_recent":47,"finished_recent":12345,"waiting_workers":2}
            {"name":"mail","settings":{"concurrency":null,"rate":null,"jobs_max":null,"bytes_max":null,"retry_max":5,"loss_max":null,"backoff":null,"order_limit":null,"order_skips":false},"paused":true,"ready":0,"delayed":3,"reserved":4,"dead":1,"bytes":900,"pushed_total":2000,"done_total":1980,"dead_total":1,"cancelled_total":0,"evicted_total":0,"oldest_ms":150000,"pushed_recent":47,"finished_recent":12345,"waiting_workers":2}
            exit 0
        "#]],
    );
    check(
        "topics",
        [job(JobReply::Topics { topics: vec![], more: false })],
        expect![[r#"
        > Job(Topics { after: "", limit: 0 })
        exit 0
    "#]],
    );
}

#[test]
fn a_topic_is_shown_with_the_settings_that_count_for_it() {
    let limits = vec![LimitInfo { name: "queue.topic_jobs_max".into(), value: 99 }];
    check(
        "topics show resize",
        [job(JobReply::Topic(Box::new(topic()))), Answer::Reply(Reply::Limits(limits))],
        expect![[r#"
            > Job(Topic("resize"))
            > Limits
            topic            resize
            paused           no
            ready            12
            delayed          3
            reserved         4
            dead             1
            bytes            900
            oldest           2m
            waiting workers  2
            pushed/s         4.7
            finished/s       1234
            pushed ever      2000
            done ever        1980
            dead ever        1
            cancelled ever   0
            evicted ever     0
            concurrency      any (default)
            rate             any (default)
            jobs-max         99 (default)
            bytes-max        4294967296 (default)
            retry-max        5
            loss-max         3 (default)
            backoff          exp:1s:600s:100ms (default)
            order-limit      1 (default)
            order-retry      block
            exit 0
        "#]],
    );
    check(
        "topics show resize --json",
        [job(JobReply::Topic(Box::new(topic())))],
        expect![[r#"
            > Job(Topic("resize"))
            {"name":"resize","settings":{"concurrency":null,"rate":null,"jobs_max":null,"bytes_max":null,"retry_max":5,"loss_max":null,"backoff":null,"order_limit":null,"order_skips":false},"paused":false,"ready":12,"delayed":3,"reserved":4,"dead":1,"bytes":900,"pushed_total":2000,"done_total":1980,"dead_total":1,"cancelled_total":0,"evicted_total":0,"oldest_ms":150000,"pushed_recent":47,"finished_recent":12345,"waiting_workers":2}
            exit 0
        "#]],
    );
    check(
        "topics show nothing",
        [refused(ErrorCode::TopicNotFound)],
        expect![[r#"
            > Job(Topic("nothing"))
            error: no, because
            exit 3
        "#]],
    );
}

#[test]
fn what_is_not_said_of_a_topic_stays_as_it_was() {
    let set = || job(JobReply::Topic(Box::new(topic())));
    check(
        "topics set resize --concurrency 8 --rate 10/1s:20",
        [set(), set()],
        expect![[r#"
        > Job(Topic("resize"))
        > Job(SetTopic { topic: "resize", settings: TopicSettings { concurrency: Some(8), rate: Some(Rate { jobs: 10, per: 1s, burst: 20 }), jobs_max: None, bytes_max: None, retry_max: Some(5), loss_max: None, backoff: None, order_limit: None, order_retry: Block } })
        set resize
        exit 0
    "#]],
    );
    check(
        "topics set resize --jobs-max 9 --order-retry skip",
        [refused(ErrorCode::TopicNotFound), set()],
        expect![[r#"
            > Job(Topic("resize"))
            > Job(SetTopic { topic: "resize", settings: TopicSettings { concurrency: None, rate: None, jobs_max: Some(9), bytes_max: None, retry_max: None, loss_max: None, backoff: None, order_limit: None, order_retry: Skip } })
            set resize
            exit 0
        "#]],
    );
    check(
        "topics set resize --reset --backoff exp:1s:1m",
        [set()],
        expect![[r#"
        > Job(SetTopic { topic: "resize", settings: TopicSettings { concurrency: None, rate: None, jobs_max: None, bytes_max: None, retry_max: None, loss_max: None, backoff: Some(Exponential { base: 1s, cap: 60s, floor: 0ns }), order_limit: None, order_retry: Block } })
        set resize
        exit 0
    "#]],
    );
    check(
        "topics set resize --loss-max 9",
        [refused(ErrorCode::Unavailable)],
        expect![[r#"
        > Job(Topic("resize"))
        error: no, because
        exit 5
    "#]],
    );
}

#[test]
fn dead_letters_are_deleted_one_by_one_or_all() {
    let changed = |count, more| job(JobReply::Changed { count, more });
    let dead = || job(JobReply::Topic(Box::new(TopicInfo { dead: 1030, ..topic() })));
    check(
        "job delete resize 17 18",
        [changed(1, false), changed(1, false)],
        expect![[r#"
        > Job(DeleteDead { topic: "resize", id: Some(17) })
        > Job(DeleteDead { topic: "resize", id: Some(18) })
        2
        exit 0
    "#]],
    );
    check(
        "job delete resize --all --yes",
        [dead(), changed(1024, true), changed(6, false)],
        expect![[r#"
            > Job(Topic("resize"))
            > Job(DeleteDead { topic: "resize", id: None })
            > Job(DeleteDead { topic: "resize", id: None })
            1030
            exit 0
        "#]],
    );
    // Other jobs die in the meantime, as fast as they are changed.
    check(
        "job delete resize --all --yes --json",
        [dead(), changed(1024, true), changed(1024, true)],
        expect![[r#"
            > Job(Topic("resize"))
            > Job(DeleteDead { topic: "resize", id: None })
            > Job(DeleteDead { topic: "resize", id: None })
            {"count":2048,"more":true}
            exit 0
        "#]],
    );
    check(
        "job delete resize 17",
        [refused(ErrorCode::JobNotFound)],
        expect![[r#"
        > Job(DeleteDead { topic: "resize", id: Some(17) })
        error: no, because
        exit 3
    "#]],
    );
    assert!(parse("job delete resize").is_err() && parse("job delete resize 17 --all").is_err());
}

#[test]
fn an_index_is_freed() {
    let changed = |count| job(JobReply::Changed { count, more: false });
    check(
        "job free-index resize photo",
        [changed(1)],
        expect![[r#"
        > Job(FreeIndex { topic: "resize", index: "photo" })
        freed photo
        exit 0
    "#]],
    );
    check(
        "job free-index resize photo --json",
        [changed(1)],
        expect![[r#"
        > Job(FreeIndex { topic: "resize", index: "photo" })
        {"count":1,"more":false}
        exit 0
    "#]],
    );
    check(
        "job free-index resize photo",
        [changed(0)],
        expect![[r#"
        > Job(FreeIndex { topic: "resize", index: "photo" })
        error: the index `photo` of topic resize is already free; nothing was changed
        exit 3
    "#]],
    );
    check(
        "job free-index resize photo",
        [refused(ErrorCode::JobUnfinished)],
        expect![[r#"
        > Job(FreeIndex { topic: "resize", index: "photo" })
        error: no, because
        exit 1
    "#]],
    );
}

#[test]
fn a_topic_is_deleted() {
    let changed = |count, more| job(JobReply::Changed { count, more });
    check(
        "topics delete resize",
        [changed(0, false)],
        expect![[r#"
        > Job(DeleteTopic { topic: "resize", force: false })
        deleted resize
        exit 0
    "#]],
    );
    check(
        "topics delete resize --force --yes --json",
        [changed(1024, true), changed(1024, true), changed(6, false)],
        expect![[r#"
            > Job(DeleteTopic { topic: "resize", force: true })
            > Job(DeleteTopic { topic: "resize", force: true })
            > Job(DeleteTopic { topic: "resize", force: true })
            {"count":2054,"more":false}
            exit 0
        "#]],
    );
    let empty = TopicInfo { ready: 0, delayed: 0, dead: 0, ..topic() };
    // There is no topic to ask about.
    check(
        "topics delete resize --force",
        [job(JobReply::Topic(Box::new(empty))), changed(0, false)],
        expect![[r#"
            > Job(Topic("resize"))
            > Job(DeleteTopic { topic: "resize", force: true })
            deleted resize
            exit 0
        "#]],
    );
    check(
        "topics delete resize",
        [refused(ErrorCode::TopicInUse)],
        expect![[r#"
        > Job(DeleteTopic { topic: "resize", force: false })
        error: no, because
        exit 1
    "#]],
    );
    check(
        "topics delete resize",
        [refused(ErrorCode::TopicNotFound)],
        expect![[r#"
        > Job(DeleteTopic { topic: "resize", force: false })
        error: no, because
        exit 3
    "#]],
    );
}
