//! What filters ask of the world, and what they are told.

use std::rc::Rc;

use filter::{Answer, Ask, Side, Step};

use crate::account::Entry;
use crate::upstream;

/// Answers asks until the filters say something else.
pub(crate) async fn settle(entry: &Rc<Entry>, side: Side, mut step: Step) -> Step {
    while let Step::Ask(ask) = step {
        let answer = perform(entry, ask).await;
        step = entry.step(|run, x| run.answered(side, x, answer));
    }
    step
}

async fn perform(entry: &Rc<Entry>, ask: Ask) -> Answer {
    match ask {
        Ask::Sleep(time) => {
            tokio::time::sleep(time).await;
            Answer::Slept
        }
        Ask::Call { cluster, head, body, timeout } => {
            let call = upstream::call(entry.worker(), &cluster, *head, body);
            // One call stands between one request and its filters; its future is as large as an attempt's.
            match tokio::time::timeout(timeout, Box::pin(call)).await {
                Ok(Ok((head, body))) => Answer::Response(Box::new(head), body),
                Ok(Err(failure)) => Answer::Failed(failure.to_string()),
                Err(_) => Answer::Failed("the call took too long".into()),
            }
        }
    }
}
