//! Waiting for a process to answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// How often to ask who has not been ready yet.
const EVERY: Duration = Duration::from_millis(10);

/// Nobody answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer in time")]
pub struct NotReady;

/// How a process goes on being asked; what Kubernetes' probes have by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long before it is asked for the first time.
    pub initial_delay: Duration,
    /// How long between two questions, once it was ready.
    pub period: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How many bad answers in a row make it unready.
    pub failures: u32,
    /// How many good answers in a row make it ready.
    pub successes: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            failures: 3,
            successes: 1,
        }
    }
}

/// What is asked of a process to know whether it is ready.
#[derive(Clone, Debug)]
pub enum Question {
    /// A GET of a path, to be answered with a status from 200 to 399.
    Answer(SocketAddr, String),
    /// A connection, to be accepted.
    Connection(SocketAddr),
}

impl Question {
    /// Waits until the answer is yes, as often as the pace wants it.
    ///
    /// # Errors
    /// When the deadline passes first.
    pub async fn until(&self, pace: &Pace, deadline: Instant) -> Result<(), NotReady> {
        timeout_at(deadline, async {
            tokio::time::sleep(pace.initial_delay).await;
            let mut in_a_row = 0;
            loop {
                // One answer that hangs is not the last one.
                let is_good = tokio::time::timeout(pace.timeout, self.answer()).await == Ok(true);
                in_a_row = if is_good { in_a_row + 1 } else { 0 };
                if in_a_row >= pace.successes {
                    return;
                }
                tokio::time::sleep(if is_good { pace.period } else { EVERY }).await;
            }
        })
        .await
        .map_err(|_| NotReady)
    }

    async fn answer(&self) -> bool {
        match self {
            Self::Answer(at, path) => status(*at, path).await.is_some_and(is_success),
            Self::Connection(at) => TcpStream::connect(at).await.is_ok(),
        }
    }
}

/// What was ready, and goes on being asked whether it is.
#[derive(Debug)]
pub struct Watch(Vec<Asked>);

#[derive(Debug)]
struct Asked {
    question: Question,
    pace: Pace,
    due: Instant,
    is_ready: bool,
    /// How many answers in a row say otherwise.
    otherwise: u32,
}

impl Watch {
    /// Begins to ask; whoever is asked is ready now.
    pub fn new(questions: impl IntoIterator<Item = (Question, Pace)>) -> Self {
        let asked = |(question, pace): (Question, Pace)| {
            let due = Instant::now() + pace.period;
            Asked { question, pace, due, is_ready: true, otherwise: 0 }
        };
        Self(questions.into_iter().map(asked).collect())
    }

    /// Waits until all are ready, where one was not, or one is not any more; whether all are.
    pub async fn turned(&mut self) -> bool {
        let was = self.is_ready();
        loop {
            let Some(next) = self.0.iter_mut().min_by_key(|asked| asked.due) else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(next.due).await;
            next.ask().await;
            if self.is_ready() != was {
                return !was;
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.0.iter().all(|asked| asked.is_ready)
    }
}

impl Asked {
    async fn ask(&mut self) {
        let answer = tokio::time::timeout(self.pace.timeout, self.question.answer()).await == Ok(true);
        self.due = Instant::now() + self.pace.period;
        self.otherwise = if answer == self.is_ready { 0 } else { self.otherwise + 1 };
        let enough = if answer { self.pace.successes } else { self.pace.failures };
        if self.otherwise >= enough {
            (self.is_ready, self.otherwise) = (answer, 0);
        }
    }
}

/// Waits until connections to an address are accepted.
///
/// # Errors
/// When the deadline passes first.
pub async fn accepts(at: SocketAddr, deadline: Instant) -> Result<(), NotReady> {
    Question::Connection(at).until(&Pace::default(), deadline).await
}

fn is_success(status: u16) -> bool {
    (200..400).contains(&status)
}

/// The status of a GET; None where there was no answer.
async fn status(at: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.ok()?;
    std::str::from_utf8(&line).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// As often as can be, and as patient as a test is.
    fn at_once(failures: u32, successes: u32) -> Pace {
        let (period, timeout) = (Duration::from_millis(1), Duration::from_secs(20));
        Pace { initial_delay: Duration::ZERO, period, timeout, failures, successes }
    }

    /// What gives these answers and no other, and what is asked of it.
    async fn server(answers: &'static [&'static str]) -> (Question, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let at = listener.local_addr().expect("its address");
        let serving = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.expect("an answer");
            }
        });
        (Question::Answer(at, "/healthz/ready".to_owned()), serving)
    }

    #[tokio::test]
    async fn only_success_counts_as_ready() {
        let (question, serving) = server(&["503 No", "nonsense", "400 Bad", "302 There"]).await;

        question.until(&at_once(3, 1), soon()).await.expect("the last answer is good");

        serving.await.expect("all were asked for");
    }

    #[tokio::test]
    async fn as_many_good_answers_in_a_row_are_wanted_as_the_pace_says() {
        let (question, serving) = server(&["200 OK", "503 No", "200 OK", "200 OK"]).await;

        question.until(&at_once(3, 2), soon()).await.expect("the last two answers are good");

        serving.await.expect("all were asked for");
    }

    #[tokio::test]
    async fn enough_bad_answers_in_a_row_end_it_and_enough_good_ones_bring_it_back() {
        let (question, serving) = server(&["503", "200", "503", "503", "200", "503", "200", "200"]).await;
        let mut watch = Watch::new([(question, at_once(2, 2))]);

        let turns = (watch.turned().await, watch.turned().await);

        assert_eq!(turns, (false, true));
        serving.await.expect("all were asked for");
    }

    #[tokio::test]
    async fn all_that_are_asked_must_be_ready() {
        let (good, _serving) = server(&["200"; 64]).await;
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let at = nobody.local_addr().expect("its address");
        drop(nobody);

        let mut watch = Watch::new([(good, at_once(1, 1)), (Question::Connection(at), at_once(3, 1))]);

        assert!(!watch.turned().await);
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait() {
        let at =
            TcpListener::bind("127.0.0.1:0").await.expect("a listener").local_addr().expect("its address");

        assert_eq!(accepts(at, Instant::now()).await, Err(NotReady));
    }
}
