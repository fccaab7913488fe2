//! The receiving kinds of worker: draining, long-polling with acknowledgements, idle polling.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::record::{Failure, InFlight, Operation, Times};
use super::worker::Worker;

/// Messages a poll asks for: the most the relay gives.
const POLL_LIMIT: usize = 100;
/// Longest time spent emptying inboxes before the run and taking the rest after it.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Answer of a poll, as much of it as is needed.
#[derive(Deserialize)]
struct Inbox<'a> {
    #[serde(borrow)]
    messages: Vec<Received<'a>>,
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow, default)]
    conversation_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// The part of our own bodies that is read back.
#[derive(Deserialize)]
struct Sent {
    sent_us: u64,
}

/// What one poll and the acknowledgement of what it brought came to.
enum Outcome {
    /// Messages handed out; none when the inbox was empty.
    Took(usize),
    /// A failure, already counted.
    Failed,
    /// The wait was broken off because the run is over.
    Stopped,
}

/// Polls and acknowledges, without waiting, until all this worker's inboxes are empty or the run
/// is over.
pub async fn drain(mut worker: Worker) {
    worker.wait_for_start().await;
    let run = Arc::clone(&worker.context.run);
    let goal = worker.context.plan.messages.unwrap_or(u64::MAX);
    let mut open: Vec<usize> = (0..worker.signers.len()).collect();
    while !open.is_empty() {
        let mut still_open = Vec::with_capacity(open.len());
        for who in open {
            if run.is_over() || run.received.load(Ordering::Relaxed) >= goal {
                return;
            }
            match poll(&mut worker, who, Duration::ZERO, true).await {
                Outcome::Took(0) => {}
                Outcome::Took(_) | Outcome::Failed => still_open.push(who),
                Outcome::Stopped => return,
            }
        }
        open = still_open;
    }
}

/// Long-polls one inbox and acknowledges, until the run asks receivers to stop; then takes what is
/// left.
pub async fn receive(mut worker: Worker) {
    empty_first(&mut worker).await;
    worker.wait_for_start().await;
    let wait = Duration::from_secs(worker.context.plan.wait_seconds);
    let drain = worker.context.run.drain.clone();
    while !drain.is_cancelled() {
        if let Outcome::Stopped = poll(&mut worker, 0, wait, true).await {
            break;
        }
    }
    empty(&mut worker, true).await;
}

/// Long-polls one inbox, expecting nothing, until the run is over.
pub async fn idle(mut worker: Worker, number: usize) {
    empty_first(&mut worker).await;
    worker.wait_for_start().await;
    let wait_seconds = worker.context.plan.wait_seconds;
    // The first wait differs from agent to agent, so that not all polls end in the same moment.
    let mut next_wait = 1 + (number as u64).checked_rem(wait_seconds).unwrap_or(0);
    let drain = worker.context.run.drain.clone();
    while !drain.is_cancelled() {
        let wait = Duration::from_secs(next_wait.min(wait_seconds));
        next_wait = wait_seconds;
        if let Outcome::Stopped = poll(&mut worker, 0, wait, true).await {
            break;
        }
    }
}

/// Empties the inbox before the run: what an earlier run left would be in the way.
async fn empty_first(worker: &mut Worker) {
    for who in 0..worker.signers.len() {
        let deadline = Instant::now() + DRAIN_LIMIT;
        while Instant::now() < deadline {
            match poll(worker, who, Duration::ZERO, false).await {
                Outcome::Took(0) | Outcome::Failed | Outcome::Stopped => break,
                Outcome::Took(_) => {}
            }
        }
    }
}

/// Takes what is left after the run.
async fn empty(worker: &mut Worker, measured: bool) {
    let deadline = Instant::now() + DRAIN_LIMIT;
    while Instant::now() < deadline {
        match poll(worker, 0, Duration::ZERO, measured).await {
            Outcome::Took(0) | Outcome::Failed | Outcome::Stopped => break,
            Outcome::Took(_) => {}
        }
    }
}

/// One poll and the acknowledgement of everything it brought.
///
/// `counted` is false before the run begins. A poll without wait is measured from its own start; a
/// long poll is counted in any case, since it may have begun during the warm-up.
async fn poll(worker: &mut Worker, who: usize, wait: Duration, counted: bool) -> Outcome {
    let run = Arc::clone(&worker.context.run);
    let tally = Arc::clone(&worker.context.tally);
    let started_us = run.clock.now_us();
    let measured = counted && (!wait.is_zero() || run.is_measured(started_us));
    let target = if wait.is_zero() {
        format!("/v1/inbox?limit={POLL_LIMIT}")
    } else {
        format!("/v1/inbox?limit={POLL_LIMIT}&wait={}", wait.as_secs())
    };
    let drain = run.drain.clone();
    let count = InFlight::begin(&tally, Operation::Poll, 1, measured);
    let answered = tokio::select! {
        biased;
        answered = worker.call(who, "GET", &target, b"", wait) => answered,
        // Only a wait is broken off; a poll that is about to be answered is not.
        () = drain.cancelled(), if !wait.is_zero() => {
            count.held();
            return Outcome::Stopped;
        }
    };
    if let Err(failure) = answered {
        worker.failed(failure, count).await;
        return Outcome::Failed;
    }
    let done_us = run.clock.now_us();
    let times = Times {
        intended_us: None,
        started_us,
        done_us,
    };
    let inbox: Inbox<'_> = match serde_json::from_slice(worker.client.answer()) {
        Ok(inbox) => inbox,
        Err(_) => {
            count.failed(Failure::Protocol, worker.client.answer());
            return Outcome::Failed;
        }
    };
    count.succeeded(times, 0, b"");
    let took = inbox.messages.len();
    if took == 0 {
        return Outcome::Took(0);
    }
    if counted {
        let mut tally = tally.lock();
        for message in &inbox.messages {
            if let Some(sent_us) = sent_us(message, &worker.context.messages.run_prefix) {
                let times = Times {
                    intended_us: None,
                    started_us: sent_us,
                    done_us,
                };
                tally.success(Operation::Delivery, times, 1, run.is_measured(sent_us));
            }
        }
    }
    let acks = acks(&inbox, done_us);
    acknowledge(worker, who, &acks, took, counted).await
}

async fn acknowledge(
    worker: &mut Worker,
    who: usize,
    acks: &[u8],
    took: usize,
    counted: bool,
) -> Outcome {
    let run = Arc::clone(&worker.context.run);
    let tally = Arc::clone(&worker.context.tally);
    let started_us = run.clock.now_us();
    let measured = counted && run.is_measured(started_us);
    let count = InFlight::begin(&tally, Operation::Ack, took as u64, measured);
    if let Err(failure) = worker
        .call(who, "POST", "/v1/acks", acks, Duration::ZERO)
        .await
    {
        worker.failed(failure, count).await;
        return Outcome::Failed;
    }
    let times = Times {
        intended_us: None,
        started_us,
        done_us: run.clock.now_us(),
    };
    let answer = worker.client.answer();
    match serde_json::from_slice::<Updated>(answer) {
        Ok(Updated { updated }) => {
            count.succeeded(times, (took as u64).saturating_sub(updated), answer)
        }
        Err(_) => count.failed(Failure::Protocol, answer),
    }
    if measured {
        run.received.fetch_add(took as u64, Ordering::Relaxed);
    }
    Outcome::Took(took)
}

/// Answer of an acknowledgement: how many deliveries it closed.
#[derive(Deserialize)]
struct Updated {
    updated: u64,
}

/// When a message of this run was sent; none for those of others.
fn sent_us(message: &Received<'_>, run_prefix: &str) -> Option<u64> {
    let conversation = message.conversation_id.as_deref()?;
    if !conversation.starts_with(run_prefix) {
        return None;
    }
    serde_json::from_str::<Sent>(message.body?.get())
        .ok()
        .map(|sent| sent.sent_us)
}

/// The body of POST /v1/acks for everything in an inbox.
fn acks(inbox: &Inbox<'_>, now_us: u64) -> Vec<u8> {
    let mut stamp = super::clock::Stamp::default();
    let received_at = String::from_utf8_lossy(stamp.at(now_us)).into_owned();
    let mut acks = Vec::with_capacity(32 + inbox.messages.len() * 128);
    acks.extend_from_slice(b"{\"acks\":[");
    for (at, message) in inbox.messages.iter().enumerate() {
        if at > 0 {
            acks.push(b',');
        }
        acks.extend_from_slice(b"{\"message_id\":");
        // Ids are opaque, so they are escaped like any string. Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut acks, &message.message_id);
        acks.extend_from_slice(b",\"status\":\"received\",\"received_at\":\"");
        acks.extend_from_slice(received_at.as_bytes());
        acks.extend_from_slice(b"\"}");
    }
    acks.extend_from_slice(b"]}");
    acks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const ANSWER: &str = r#"{"messages":[
        {"message_id":"msg_\"1\"","conversation_id":"bench-0a-3.0","correlation_id":"c","sender_agent_id":"agent_1",
         "message_type":"direct","priority":"normal","body":{"sent_us":1795404960007000,"text":"x"},"metadata":null,
         "created_at":"2026-11-23T03:36:00.007Z","deadline_at":"2026-11-23T04:36:00.007Z"},
        {"message_id":"msg_2","conversation_id":null,"body":{"sent_us":"not ours"}},
        {"message_id":"msg_3","conversation_id":"other","body":{"sent_us":1}}],"controls":[]}"#;

    #[test]
    fn delivery_is_measured_for_messages_of_this_run_only() {
        let inbox: Inbox<'_> = serde_json::from_str(ANSWER).unwrap();
        let sent: Vec<Option<u64>> = inbox
            .messages
            .iter()
            .map(|message| sent_us(message, "bench-0a-"))
            .collect();
        assert_eq!(sent, [Some(1_795_404_960_007_000), None, None]);
    }

    #[test]
    fn everything_received_is_acknowledged() {
        let inbox: Inbox<'_> = serde_json::from_str(ANSWER).unwrap();
        let acks: serde_json::Value =
            serde_json::from_slice(&acks(&inbox, 1_795_404_960_007_000)).unwrap();
        let ids: Vec<&str> = acks["acks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["message_id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["msg_\"1\"", "msg_2", "msg_3"]);
        assert_eq!(acks["acks"][1]["status"], "received");
        assert_eq!(acks["acks"][2]["received_at"], "2026-11-23T03:36:00.007Z");
    }
}
