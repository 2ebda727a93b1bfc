//! J9 and J10: capacity, delays.

use expect_test::expect;

use crate::config::QueueConfig;
use crate::model::{Blob, JobReply, JobRequest, PushRequest, TopicSettings};
use crate::queue::tests::script::check;
use crate::queue::tests::world::World;
use crate::queue::tests::{ms, steady};
use crate::queue::{Effect, QueueAnswer, QueueError};

/// Regression: the consumer waited for capacity in a queue that only it emptied.
#[test]
fn j9_full_is_typed_and_a_retry_needs_no_room() {
    check(
        "
        set mail jobs=2
        push mail one times=2
        push mail more
        push mail more times=3
        reserve mail credits=2
        retry 1/1 wrong
        release 2/1
        push mail more
        later 70
        reserve mail credits=2
        topic mail
        ",
        expect![[r#"
            > set mail jobs=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=2
              1 Ready, 2 Ready
            > push mail more
              topic mail is full: topic.jobs_max is 2; push with a wait for room, or when jobs are done
            > push mail more times=3
              that many never fit in the topic: the limit topic.jobs_max is 2; nothing was changed
            > reserve mail credits=2
              gets 1/1 one, 2/1 one
            > retry 1/1 wrong
            > release 2/1
            > push mail more
              topic mail is full: topic.jobs_max is 2; push with a wait for room, or when jobs are done
            > later 70
            > reserve mail credits=2
              gets 2/2 one, 1/2 one
            > topic mail
              pushed 2 = ready 0 + delayed 0 + reserved 2 + done 0 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

/// Regression: the refusal of two jobs in a topic with capacity for one named the limit of bytes.
#[test]
fn j9_a_refusal_names_the_limit_that_leaves_no_room() {
    let own = |jobs_max, bytes_max| TopicSettings { jobs_max, bytes_max, ..Default::default() };
    type Limits = fn(&mut QueueConfig);
    let cases: [(&str, u64, Limits, TopicSettings); 6] = [
        ("queue.jobs_max", 3, |queue| queue.jobs_max = 3, own(None, None)),
        ("queue.bytes_max", 7, |queue| queue.bytes_max = 7, own(None, None)),
        ("queue.topic_jobs_max", 3, |queue| queue.topic_jobs_max = 3, own(None, None)),
        ("queue.topic_bytes_max", 7, |queue| queue.topic_bytes_max = 7, own(None, None)),
        ("topic.jobs_max", 3, |_| {}, own(Some(3), None)),
        ("topic.bytes_max", 7, |_| {}, own(None, Some(7))),
    ];
    for (name, max, set, settings) in cases {
        let mut config = steady();
        set(&mut config);
        let mut world = World::new(config);
        let settings = Box::new(settings);
        world.ask(1, JobRequest::SetTopic { topic: "mail".into(), settings });
        let topic = Some(Blob::from("mail"))
            .filter(|_| !matches!(name, "queue.jobs_max" | "queue.bytes_max"));
        let full = QueueError::Full { topic, name, max };
        let push = |count, wait| {
            let jobs = vec![PushRequest::new("mail", "12"); count];
            JobRequest::Push { jobs, wait: ms(wait) }
        };
        let pushed = world.ask(1, push(2, 0));
        assert!(matches!(pushed, QueueAnswer::Now(Ok(JobReply::Pushed(_)))), "{name}");
        // There is capacity for one.
        let refused = world.ask(1, push(2, 0));
        assert!(matches!(&refused, QueueAnswer::Now(Err(error)) if *error == full), "{refused:?}");
        let never = world.ask(1, push(4, 100));
        let limit = matches!(
            &never,
            QueueAnswer::Now(Err(QueueError::Limit { name: it, max: value, .. })) if (*it, *value) == (name, max)
        );
        assert!(limit, "{name}: {never:?}");
        // The second would fit, and waits behind the first.
        for (count, wait) in [(2, 100), (1, 50)] {
            assert!(matches!(world.ask(1, push(count, wait)), QueueAnswer::Parked(_)), "{name}");
        }
        world.turn();
        for _ in 0..2 {
            world.later(50);
            let told = world.turn();
            let refused =
                |it: &Effect| matches!(it, Effect::Pushed(_, Err(error)) if *error == full);
            assert!(told.len() == 1 && told.iter().all(refused), "{told:?}");
        }
    }
}

#[test]
fn j9_whoever_waits_for_room_is_let_in_in_order() {
    check(
        "
        set mail bytes=6
        push mail 12345
        push mail 4444 wait=1000
        push mail 1 wait=1000
        push mail 1 wait=300
        reserve mail
        later 300
        done 1/1
        topic mail
        ",
        expect![[r#"
            > set mail bytes=6
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail 12345
              1 Ready
            > push mail 4444 wait=1000
            > push mail 1 wait=1000
            > push mail 1 wait=300
            > reserve mail
              gets 1/1 12345
            > later 300
              topic mail is full: topic.bytes_max is 6; push with a wait for room, or when jobs are done
            > done 1/1
              result of 1 Done, epoch 1, output 
              let in: 2 Ready
              let in: 3 Ready
            > topic mail
              pushed 3 = ready 2 + delayed 0 + reserved 0 + done 1 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

/// Regression: after a clear, nothing could be pushed any more.
#[test]
fn j9_after_a_clear_there_is_room() {
    check(
        "
        set mail jobs=2
        push mail one times=2
        clear mail
        push mail one times=2
        reserve mail credits=2
        topic mail
        ",
        expect![[r#"
            > set mail jobs=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=2
              1 Ready, 2 Ready
            > clear mail
              2 changed
              cleared 1
              cleared 2
            > push mail one times=2
              3 Ready, 4 Ready
            > reserve mail credits=2
              gets 3/1 one, 4/1 one
            > topic mail
              pushed 4 = ready 0 + delayed 0 + reserved 2 + done 0 + dead 0 + evicted 0 + cancelled 2
        "#]],
    );
}

/// Regression: the push was refused for lack of the capacity that the one before it released in the
/// same turn.
#[test]
fn j9_who_waits_behind_one_whose_time_is_over_is_let_in() {
    check(
        "
        set mail bytes=6
        push mail 12345
        reserve mail wait=500
        reserve mail wait=500
        push mail 4444 wait=300
        push mail 1 wait=300
        later 300
        ",
        expect![[r#"
            > set mail bytes=6
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail 12345
              1 Ready
            > reserve mail wait=500
              gets 1/1 12345
            > reserve mail wait=500
            > push mail 4444 wait=300
            > push mail 1 wait=300
            > later 300
              topic mail is full: topic.bytes_max is 6; push with a wait for room, or when jobs are done
              let in: 2 Ready
              gets 2/1 1
        "#]],
    );
}

#[test]
fn j10_not_before_its_time_and_time_does_not_go_back() {
    check(
        "
        push mail one delay=100
        reserve mail wait=1000
        later 99
        back 50
        later 1
        later 49
        later 1
        get 1
        ",
        expect![[r#"
            > push mail one delay=100
              1 Delayed
            > reserve mail wait=1000
            > later 99
            > back 50
            > later 1
            > later 49
            > later 1
              gets 1/1 one
            > get 1
              1 Reserved, epoch 1, payload one
        "#]],
    );
}

#[test]
fn j10_a_delay_goes_on_while_the_server_is_down() {
    check(
        "
        push mail one delay=100
        later 60
        restart
        later 39
        reserve mail
        later 1
        reserve mail
        ",
        expect![[r#"
            > push mail one delay=100
              1 Delayed
            > later 60
            > restart
            > later 39
            > reserve mail
              no job
            > later 1
            > reserve mail
              gets 1/1 one
        "#]],
    );
}
