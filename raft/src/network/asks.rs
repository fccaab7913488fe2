//! Questions to a node over one stream, forwarded ones and appends to its log: many are under way at
//! once, and what is there together goes together. A request of its own for each cost a forwarded
//! message more than all else it needs.
//!
//! A question is `number (8) | length of the context (1) | context | length (4) | question`, an
//! answer `number (8) | 0, or 1 where it was refused (1) | length (4) | answer`; numbers are little
//! endian, and those of questions count up. Answers come in the order in which they are found.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::link::{CallError, Link};
use crate::carried::{self, carried};

/// A longer question goes alone: others would wait behind it.
pub(super) const QUESTION_MAX_BYTES: usize = 64 << 10;
/// An answer is about as long as what was asked; a longer one is not one of ours.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// Questions that wait to be sent, and those that one stream answers at once.
const WAITING_MAX: usize = 16 * 1024;
/// Sent together at most, but for the last of them.
const TOGETHER_BYTES: usize = 64 << 10;
/// A node that does not know this stream may run a newer release by then.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
const QUESTION_HEAD_BYTES: usize = 9;
const ANSWER_HEAD_BYTES: usize = 13;

/// What a node says: an answer, or a refusal.
pub(super) type Answered = Result<Bytes, Bytes>;

/// The stream to one node.
pub(super) struct Asks {
    path: &'static str,
    standing: tokio::sync::Mutex<Standing>,
}

#[derive(Default)]
enum Standing {
    #[default]
    None,
    Open(Open),
    /// Runs a release that does not know it, as far as is known.
    Unknown(Instant),
}

struct Open {
    address: String,
    questions: mpsc::Sender<Question>,
    under_way: Arc<Mutex<UnderWay>>,
}

struct Question {
    question: Bytes,
    context: Option<HeaderValue>,
    /// Dropped unused where the question was not sent.
    answer: oneshot::Sender<Result<Answered, CallError>>,
}

/// Questions that were sent.
#[derive(Default)]
struct UnderWay {
    answers: HashMap<u64, oneshot::Sender<Result<Answered, CallError>>>,
    last: u64,
    is_over: bool,
}

impl Asks {
    /// One that is opened at `path` when it is first needed.
    pub(super) fn new(path: &'static str) -> Self {
        Asks {
            path,
            standing: tokio::sync::Mutex::default(),
        }
    }

    /// Asks the node at `address`; none where it has to be asked in a request of its own.
    pub(super) async fn ask(
        &self,
        link: &Link,
        address: &str,
        question: Bytes,
        ttl: Duration,
    ) -> Result<Option<Answered>, CallError> {
        let deadline = Instant::now() + ttl;
        let left = || deadline.saturating_duration_since(Instant::now());
        let late = || format!("{address} did not answer in time");
        let questions = match timeout(ttl, self.questions(link, address)).await {
            Ok(Ok(Some(questions))) => questions,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(CallError::NotSent(late())),
        };
        let ended = || CallError::NotSent(format!("the connection to {address} ended"));
        let (answer, answered) = oneshot::channel();
        let question = Question {
            question,
            context: carried::received(carried().as_ref()),
            answer,
        };
        match timeout(left(), questions.send(question)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ended()),
            Err(_) => return Err(CallError::NotSent(late())),
        }
        match timeout(left(), answered).await {
            Ok(Ok(answered)) => answered.map(Some),
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(CallError::Lost(late())),
        }
    }

    /// Where questions go: the stream that stands, or a new one. While one is made, others wait.
    async fn questions(
        &self,
        link: &Link,
        address: &str,
    ) -> Result<Option<mpsc::Sender<Question>>, CallError> {
        let mut standing = self.standing.lock().await;
        match &*standing {
            Standing::Open(open) if open.address == address && !open.is_over() => {
                return Ok(Some(open.questions.clone()));
            }
            Standing::Unknown(since) if since.elapsed() < UNKNOWN_FOR => return Ok(None),
            _ => {}
        }
        *standing = Standing::None;
        let (questions, receiver) = mpsc::channel(WAITING_MAX);
        let under_way = Arc::new(Mutex::new(UnderWay::default()));
        let body = StreamBody::new(sent(receiver, under_way.clone())).boxed_unsync();
        let response = link.begin(address, self.path, body).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                *standing = Standing::Unknown(Instant::now());
                return Ok(None);
            }
            status => {
                return Err(CallError::NotSent(format!("{address} answers {status}")));
            }
        }
        tokio::spawn(heard(response.into_body(), under_way.clone()));
        *standing = Standing::Open(Open {
            address: address.into(),
            questions: questions.clone(),
            under_way,
        });
        Ok(Some(questions))
    }
}

impl Open {
    fn is_over(&self) -> bool {
        self.questions.is_closed() || self.under_way.lock().is_over
    }
}

impl UnderWay {
    /// Takes note of a question that is being sent; none where no answer could come any more.
    fn begin(&mut self, answer: oneshot::Sender<Result<Answered, CallError>>) -> Option<u64> {
        if self.is_over {
            return None;
        }
        self.last += 1;
        self.answers.insert(self.last, answer);
        Some(self.last)
    }
}

/// The questions as they are sent.
fn sent(
    questions: mpsc::Receiver<Question>,
    under_way: Arc<Mutex<UnderWay>>,
) -> impl Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + use<> {
    stream::unfold(questions, move |mut questions| {
        let under_way = under_way.clone();
        async move {
            let mut next = Some(questions.recv().await?);
            let mut together = BytesMut::new();
            while let Some(question) = next {
                let Question {
                    question,
                    context,
                    answer,
                } = question;
                let number = under_way.lock().begin(answer)?;
                let context = context.as_ref().map_or(&[][..], HeaderValue::as_bytes);
                together.put_u64_le(number);
                // `carried` lets no context through that is longer than a byte can say.
                together.put_u8(context.len() as u8);
                together.put_slice(context);
                together.put_u32_le(question.len() as u32);
                together.put_slice(&question);
                next = match together.len() < TOGETHER_BYTES {
                    true => questions.try_recv().ok(),
                    false => None,
                };
            }
            Some((Ok(Frame::data(together.freeze())), questions))
        }
    })
}

/// Takes the answers in until the stream ends, and tells those whose answers did not come.
async fn heard(mut body: Incoming, under_way: Arc<Mutex<UnderWay>>) {
    let mut received = BytesMut::new();
    let why = loop {
        match body.frame().await {
            None => break "the stream of answers ended".to_string(),
            Some(Err(error)) => break error.to_string(),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                received.put(data);
            }
        }
        match answers(&mut received) {
            Ok(answered) => {
                let mut under_way = under_way.lock();
                for (number, answered) in answered {
                    if let Some(answer) = under_way.answers.remove(&number) {
                        // Whoever asked may have gone away.
                        let _ = answer.send(Ok(answered));
                    }
                }
            }
            Err(Malformed(why)) => break why.to_string(),
        }
    };
    let unanswered = {
        let mut under_way = under_way.lock();
        under_way.is_over = true;
        std::mem::take(&mut under_way.answers)
    };
    for answer in unanswered.into_values() {
        let _ = answer.send(Err(CallError::Lost(why.clone())));
    }
}

#[derive(Debug)]
struct Malformed(&'static str);

/// Takes whole answers off the front of what was received.
fn answers(received: &mut BytesMut) -> Result<Vec<(u64, Answered)>, Malformed> {
    let mut answers = Vec::new();
    while received.len() >= ANSWER_HEAD_BYTES {
        let mut head = &received[..];
        let (number, kind) = (head.get_u64_le(), head.get_u8());
        let length = head.get_u32_le() as usize;
        if length > ANSWER_MAX_BYTES {
            return Err(Malformed("an answer is too long"));
        }
        if head.len() < length {
            break;
        }
        received.advance(ANSWER_HEAD_BYTES);
        let answer = received.split_to(length).freeze();
        answers.push(match kind {
            0 => (number, Ok(answer)),
            1 => (number, Err(answer)),
            _ => return Err(Malformed("an answer is of an unknown kind")),
        });
    }
    Ok(answers)
}

/// One question as it came.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    number: u64,
    context: Option<HeaderValue>,
    question: Bytes,
}

/// Takes one whole question off the front of what was received.
fn question(received: &mut BytesMut) -> Result<Option<Received>, Malformed> {
    if received.len() < QUESTION_HEAD_BYTES {
        return Ok(None);
    }
    let mut head = &received[..];
    let (number, context_bytes) = (head.get_u64_le(), usize::from(head.get_u8()));
    if head.len() < context_bytes + 4 {
        return Ok(None);
    }
    head.advance(context_bytes);
    let length = head.get_u32_le() as usize;
    if length > QUESTION_MAX_BYTES {
        return Err(Malformed("a question is too long"));
    }
    if head.len() < length {
        return Ok(None);
    }
    received.advance(QUESTION_HEAD_BYTES);
    let context = received.split_to(context_bytes);
    let context = HeaderValue::from_bytes(&context)
        .map_err(|_| Malformed("a context is none"))
        .map(|context| carried::received(Some(&context)))?;
    received.advance(4);
    Ok(Some(Received {
        number,
        context: context.filter(|context| !context.is_empty()),
        question: received.split_to(length).freeze(),
    }))
}

/// Answers the questions of a node until it asks no more, each by `answer`.
pub(super) fn answered<F>(
    body: Incoming,
    answer: impl Fn(Bytes) -> F + Send + 'static,
) -> impl Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send
where
    F: Future<Output = Answered> + Send + 'static,
{
    let answering = FuturesUnordered::new();
    let asked = (body, BytesMut::new(), false);
    stream::unfold(
        (asked, answering, answer),
        |(asked, mut answering, answer)| async move {
            let (mut body, mut received, mut is_over) = asked;
            let mut together = BytesMut::new();
            loop {
                tokio::select! {
                    biased;
                    Some(first) = answering.next(), if !answering.is_empty() => {
                        let mut next = Some(first);
                        while let Some((number, answered)) = next {
                            put_answer(&mut together, number, answered);
                            next = match together.len() < TOGETHER_BYTES {
                                // What is not there yet is looked at again with the next call.
                                true => answering.next().now_or_never().flatten(),
                                false => None,
                            };
                        }
                        let asked = (body, received, is_over);
                        let frame = Frame::data(together.freeze());
                        return Some((Ok(frame), (asked, answering, answer)));
                    }
                    frame = body.frame(), if !is_over && answering.len() < WAITING_MAX => {
                        match frame {
                            Some(Ok(frame)) => {
                                if let Ok(data) = frame.into_data() {
                                    received.put(data);
                                }
                            }
                            Some(Err(_)) | None => is_over = true,
                        }
                        loop {
                            match question(&mut received) {
                                Ok(Some(Received { number, context, question })) => {
                                    let answered = answer(question);
                                    answering.push(async move {
                                        let answered = match context {
                                            Some(context) => carried::carrying(context, answered).await,
                                            None => answered.await,
                                        };
                                        (number, answered)
                                    });
                                }
                                Ok(None) => break,
                                Err(Malformed(why)) => {
                                    tracing::warn!(why, "a node asks in words that are not known here");
                                    return None;
                                }
                            }
                        }
                    }
                    else => return None,
                }
            }
        },
    )
}

fn put_answer(together: &mut BytesMut, number: u64, answered: Answered) {
    let (kind, answer) = match answered {
        Ok(answer) => (0, answer),
        Err(refusal) => (1, refusal),
    };
    together.put_u64_le(number);
    together.put_u8(kind);
    together.put_u32_le(answer.len() as u32);
    together.put_slice(&answer);
}

#[cfg(test)]
#[path = "asks_tests.rs"]
mod tests;
