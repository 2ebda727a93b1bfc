//! Requests create the topics they name, up to a limit.

use expect_test::expect;

use super::script::check_with;
use super::*;

/// Regression: after ten thousand misspelt names, no new topic could be created.
#[test]
fn a_topic_that_has_nothing_makes_way_for_a_new_one() {
    let config = QueueConfig { topics_max: 2, ..steady() };
    check_with(
        config,
        "
        reserve misspelt
        push mail one
        push post two
        topic misspelt
        push more three
        cancel 1
        push more three
        topic mail
        topic post
        snapshot
        restart
        reserve more
        reserve post
        ",
        expect![[r#"
            > reserve misspelt
              no job
            > push mail one
              1 Ready
            > push post two
              2 Ready
            > topic misspelt
              there is no topic `misspelt`; `topics` lists them
            > push more three
              too many topics are in use; finish, clear or delete one first: the limit queue.topics_max is 2; nothing was changed
            > cancel 1
              1 Cancelled, epoch 0
              note of 1 Cancelled, epoch 0
            > push more three
              3 Ready
            > topic mail
              there is no topic `mail`; `topics` lists them
            > topic post
              pushed 1 = ready 1 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > snapshot
            > restart
            > reserve more
              gets 3/1 three
            > reserve post
              gets 2/1 two
        "#]],
    );
}

#[test]
fn a_topic_that_has_something_stays() {
    let config = QueueConfig { topics_max: 1, ..steady() };
    check_with(
        config,
        "
        reserve mail wait=100
        push post one
        later 100
        pause mail
        push post one
        resume mail
        set mail jobs=3
        push post one
        set mail
        push mail once index=i unique=50
        cancel 1
        push post one
        later 60
        push post one
        ",
        expect![[r#"
            > reserve mail wait=100
            > push post one
              too many topics are in use; finish, clear or delete one first: the limit queue.topics_max is 1; nothing was changed
            > later 100
              no job
            > pause mail
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push post one
              too many topics are in use; finish, clear or delete one first: the limit queue.topics_max is 1; nothing was changed
            > resume mail
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > set mail jobs=3
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push post one
              too many topics are in use; finish, clear or delete one first: the limit queue.topics_max is 1; nothing was changed
            > set mail
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail once index=i unique=50
              1 Ready
            > cancel 1
              1 Cancelled, epoch 0
              note of 1 Cancelled, epoch 0
            > push post one
              2 Ready
            > later 60
            > push post one
              3 Ready
        "#]],
    );
}

/// No topic of a push is forgotten for another topic of the same push.
#[test]
fn a_push_to_several_topics_keeps_all_of_them() {
    let mut world = World::new(QueueConfig { topics_max: 2, ..steady() });
    let push = |topics: &[&str]| {
        let jobs = topics.iter().map(|topic| PushRequest::new(*topic, "job")).collect();
        JobRequest::Push { jobs, wait: Duration::ZERO }
    };
    let reserve = |topic: &str| {
        JobRequest::Reserve(ReserveRequest { wait: Some(ms(0)), ..ReserveRequest::new(topic) })
    };
    for topic in ["a", "b"] {
        world.ask(1, reserve(topic));
        world.turn();
    }
    let refused = world.ask(1, push(&["c", "a", "b"]));
    assert!(matches!(
        &refused,
        QueueAnswer::Now(Err(QueueError::Limit { name: "queue.topics_max", .. }))
    ));
    let pushed = world.ask(1, push(&["c", "b"]));
    assert!(matches!(&pushed, QueueAnswer::Now(Ok(JobReply::Pushed(pushed))) if pushed.len() == 2));
    world.turn();
    assert_eq!(world.queue.names.keys().cloned().collect::<Vec<_>>(), ["b", "c"].map(Blob::from));
}

/// Regression: each new name examined all topics in use.
#[test]
fn s10_a_new_topic_looks_at_those_that_were_left_not_at_all_there_are() {
    let config = QueueConfig { topics_max: 1_000, ..steady() };
    let mut queue = QueueState::new(config, 1);
    let now = Now { steady: 0, utc: MORNING };
    let push = |queue: &mut QueueState, topic: &str| {
        let jobs = vec![PushRequest::new(topic, "p")];
        queue.request(now, 1, JobRequest::Push { jobs, wait: Duration::ZERO })
    };
    for number in 0..1_000 {
        assert!(matches!(push(&mut queue, &number.to_string()), QueueAnswer::Now(Ok(_))));
    }
    for _ in 0..3 {
        assert!(matches!(push(&mut queue, "one more"), QueueAnswer::Now(Err(_))));
        assert_eq!(queue.idle.len(), 0, "none is looked at again");
    }
    queue.request(now, 1, JobRequest::Cancel(JobRef::Id(7)));
    queue.request(now, 1, JobRequest::Cancel(JobRef::Id(9)));
    assert_eq!(queue.idle.len(), 2);
    assert!(matches!(push(&mut queue, "one more"), QueueAnswer::Now(Ok(_))));
    assert!(queue.names.contains_key(&b"8"[..]) && !queue.names.contains_key(&b"6"[..]));
}

/// Regression: a page of topics ended by their number alone, so one of long names did not fit in a
/// frame.
#[test]
fn a_page_of_topics_ends_where_its_bytes_do() {
    let mut world = World::new(QueueConfig { list_bytes_max: 1_000, ..steady() });
    let names: Vec<Blob> = (0..10).map(|nth| format!("{nth}{}", "n".repeat(400)).into()).collect();
    for name in &names {
        let settings = TopicSettings::default();
        world.ask(1, JobRequest::SetTopic { topic: name.clone(), settings: settings.into() });
    }
    let (mut after, mut listed) = (Blob::default(), Vec::new());
    loop {
        let answer = world.ask(1, JobRequest::Topics { after, limit: 0 });
        let QueueAnswer::Now(Ok(JobReply::Topics { topics, more })) = answer else {
            panic!("a page")
        };
        assert!((1..=3).contains(&topics.len()), "{topics:?}");
        listed.extend(topics.into_iter().map(|topic| topic.name));
        after = listed.last().cloned().unwrap();
        if !more {
            break;
        }
    }
    assert_eq!(listed, names);
}

/// Regression: one client could use up all topics, with a waiting request in each.
#[test]
fn s10_a_client_makes_no_more_topics_than_it_leaves_for_others() {
    let mut queue = QueueState::new(QueueConfig { topics_max: 4, ..steady() }, 1);
    let now = Now { steady: 1, utc: MORNING };
    let push = |queue: &mut QueueState, user, topic: &str| {
        let jobs = vec![PushRequest::new(topic, "p")];
        let requester = Requester { owner: user, client: ClientId::User(user) };
        let request = JobRequest::Push { jobs, wait: Duration::ZERO };
        match queue.request_within(now, requester, request, &|_| true) {
            QueueAnswer::Now(Ok(_)) => true,
            QueueAnswer::Now(Err(QueueError::Limit {
                name: "queue.topics_max", max: 4, ..
            })) => false,
            other => panic!("{other:?}"),
        }
    };
    assert!(push(&mut queue, 1, "a") && push(&mut queue, 1, "b"));
    assert!(!push(&mut queue, 1, "c"), "as many are left as it has");
    assert!(push(&mut queue, 2, "x") && !push(&mut queue, 2, "y"));
    // An empty topic of the client itself makes space for another.
    queue.request(now, 1, JobRequest::Cancel(JobRef::Id(1)));
    assert!(push(&mut queue, 1, "c") && !queue.names.contains_key(&Blob::from("a")));
    assert!(push(&mut queue, 3, "z"), "there is one left");
    // With an empty topic of another client, the client has no more than half of all.
    queue.request(now, 1, JobRequest::Cancel(JobRef::Id(3)));
    assert!(!push(&mut queue, 1, "d") && push(&mut queue, 2, "y"));
}
