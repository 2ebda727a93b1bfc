//! J11 to J13: the order of hand-outs, and how many run at once.

use expect_test::expect;

use crate::queue::tests::script::check;

/// A step is 100 ms here.
#[test]
fn j11_a_step_of_priority_counts_as_so_much_waiting() {
    check(
        "
        push mail low
        later 99
        push mail high priority=1
        later 2
        push mail late priority=1
        reserve mail credits=3
        ",
        expect![[r#"
            > push mail low
              1 Ready
            > later 99
            > push mail high priority=1
              2 Ready
            > later 2
            > push mail late priority=1
              3 Ready
            > reserve mail credits=3
              gets 2/1 high, 1/1 low, 3/1 late
        "#]],
    );
}

#[test]
fn j12_one_at_a_time_and_in_order() {
    check(
        "
        push mail a1 key=a
        push mail a2 key=a
        push mail b1 key=b
        push mail a3 key=a
        reserve mail credits=9
        reserve mail wait=500
        retry 1/1 wrong
        later 70
        done 1/2
        reserve mail
        fail 2/1 hopeless
        reserve mail
        ",
        expect![[r#"
            > push mail a1 key=a
              1 Ready
            > push mail a2 key=a
              2 Ready
            > push mail b1 key=b
              3 Ready
            > push mail a3 key=a
              4 Ready
            > reserve mail credits=9
              gets 1/1 a1, 3/1 b1
            > reserve mail wait=500
            > retry 1/1 wrong
            > later 70
              gets 1/2 a1
            > done 1/2
              result of 1 Done, epoch 2, 1 failures, 0 losses, output , errors ["wrong"]
            > reserve mail
              gets 2/1 a2
            > fail 2/1 hopeless
              note of 2 Dead, epoch 1, 1 failures, 0 losses, errors ["hopeless"]
            > reserve mail
              gets 4/1 a3
        "#]],
    );
}

#[test]
fn j12_others_go_on_without_one_that_waits_for_its_next_run_if_the_topic_says_so() {
    check(
        "
        set mail retry=skip
        push mail a1 key=a
        push mail a2 key=a
        reserve mail
        retry 1/1 wrong
        reserve mail
        later 70
        reserve mail
        done 2/1
        reserve mail
        ",
        expect![[r#"
            > set mail retry=skip
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail a1 key=a
              1 Ready
            > push mail a2 key=a
              2 Ready
            > reserve mail
              gets 1/1 a1
            > retry 1/1 wrong
            > reserve mail
              gets 2/1 a2
            > later 70
            > reserve mail
              no job
            > done 2/1
              result of 2 Done, epoch 1, output 
            > reserve mail
              gets 1/2 a1
        "#]],
    );
}

/// However many jobs one of them has, even within a millisecond.
#[test]
fn j12_keys_take_turns() {
    check(
        "
        push mail a key=a times=5
        push mail b key=b times=2
        reserve mail
        done 1/1
        reserve mail
        done 6/1
        reserve mail
        done 2/1
        reserve mail
        done 7/1
        reserve mail
        ",
        expect![[r#"
            > push mail a key=a times=5
              1 Ready, 2 Ready, 3 Ready, 4 Ready, 5 Ready
            > push mail b key=b times=2
              6 Ready, 7 Ready
            > reserve mail
              gets 1/1 a
            > done 1/1
              result of 1 Done, epoch 1, output 
            > reserve mail
              gets 6/1 b
            > done 6/1
              result of 6 Done, epoch 1, output 
            > reserve mail
              gets 2/1 a
            > done 2/1
              result of 2 Done, epoch 1, output 
            > reserve mail
              gets 7/1 b
            > done 7/1
              result of 7 Done, epoch 1, output 
            > reserve mail
              gets 3/1 a
        "#]],
    );
}

#[test]
fn j12_with_a_limit_of_two_still_in_order() {
    check(
        "
        set mail order=2
        push mail a1 key=a
        push mail a2 key=a priority=9
        push mail a3 key=a priority=9
        reserve mail
        reserve mail
        reserve mail
        done 2/1
        reserve mail
        ",
        expect![[r#"
            > set mail order=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail a1 key=a
              1 Ready
            > push mail a2 key=a priority=9
              2 Ready
            > push mail a3 key=a priority=9
              3 Ready
            > reserve mail
              gets 1/1 a1
            > reserve mail
              gets 2/1 a2
            > reserve mail
              no job
            > done 2/1
              result of 2 Done, epoch 1, output 
            > reserve mail
              gets 3/1 a3
        "#]],
    );
}

#[test]
fn j13_concurrency_rate_and_pause() {
    check(
        "
        set mail concurrency=2
        push mail one times=5
        reserve mail credits=9
        reserve mail wait=9000
        done 1/1
        pause mail
        reserve mail wait=9000
        done 2/1
        resume mail
        done 3/1
        set mail rate=1/100/1
        reserve mail wait=9000
        push mail more times=2
        done 4/1
        later 99
        later 1
        topic mail
        ",
        expect![[r#"
            > set mail concurrency=2
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=5
              1 Ready, 2 Ready, 3 Ready, 4 Ready, 5 Ready
            > reserve mail credits=9
              gets 1/1 one, 2/1 one
            > reserve mail wait=9000
            > done 1/1
              result of 1 Done, epoch 1, output 
              gets 3/1 one
            > pause mail
              pushed 5 = ready 2 + delayed 0 + reserved 2 + done 1 + dead 0 + evicted 0 + cancelled 0
            > reserve mail wait=9000
            > done 2/1
              result of 2 Done, epoch 1, output 
            > resume mail
              pushed 5 = ready 2 + delayed 0 + reserved 1 + done 2 + dead 0 + evicted 0 + cancelled 0
              gets 4/1 one
            > done 3/1
              result of 3 Done, epoch 1, output 
            > set mail rate=1/100/1
              pushed 5 = ready 1 + delayed 0 + reserved 1 + done 3 + dead 0 + evicted 0 + cancelled 0
            > reserve mail wait=9000
              gets 5/1 one
            > push mail more times=2
              6 Ready, 7 Ready
            > done 4/1
              result of 4 Done, epoch 1, output 
            > later 99
            > later 1
            > topic mail
              pushed 7 = ready 2 + delayed 0 + reserved 1 + done 4 + dead 0 + evicted 0 + cancelled 0
        "#]],
    );
}

#[test]
fn j13_a_faster_rate_counts_at_once() {
    check(
        "
        set mail rate=1/60000/1
        push mail one times=3
        reserve mail credits=3
        reserve mail wait=90000
        set mail rate=1/100/1
        later 100
        ",
        expect![[r#"
            > set mail rate=1/60000/1
              pushed 0 = ready 0 + delayed 0 + reserved 0 + done 0 + dead 0 + evicted 0 + cancelled 0
            > push mail one times=3
              1 Ready, 2 Ready, 3 Ready
            > reserve mail credits=3
              gets 1/1 one
            > reserve mail wait=90000
            > set mail rate=1/100/1
              pushed 3 = ready 2 + delayed 0 + reserved 1 + done 0 + dead 0 + evicted 0 + cancelled 0
            > later 100
              gets 2/1 one
        "#]],
    );
}
