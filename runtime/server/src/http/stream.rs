//! An answer as it comes: server-sent events. Whoever lets go of the body gives the answer up.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use super::answer::Answer;
use crate::engine::Event;

/// The body of a streamed response.
pub struct EventStream {
    answer: Answer,
    events: UnboundedReceiver<Event>,
    /// Written and not sent yet.
    text: String,
    ended: bool,
}

impl EventStream {
    /// Begins with the events that open the answer.
    pub fn new(answer: Answer, events: UnboundedReceiver<Event>) -> EventStream {
        let mut stream = EventStream { answer, events, text: String::new(), ended: false };
        let openings = stream.answer.openings();
        openings.iter().for_each(|opening| stream.write(opening));
        stream
    }

    fn write(&mut self, event: &Value) {
        self.text.push_str("data: ");
        self.text.push_str(&event.to_string());
        self.text.push_str("\n\n");
    }

    fn end(&mut self) {
        self.text.push_str("data: [DONE]\n\n");
        self.ended = true;
    }

    fn take(&mut self, event: Option<Event>) {
        let taken = match event {
            Some(event) => self.answer.take(event),
            None => Err(self.answer.lost()),
        };
        match taken {
            Ok(choice) => {
                let news = choice.and_then(|choice| self.answer.news(choice));
                news.iter().for_each(|news| self.write(news));
                if self.answer.is_done() {
                    self.answer.closing().iter().for_each(|closing| self.write(closing));
                    self.end();
                }
            }
            Err(error) => {
                self.write(&error.body());
                self.end();
            }
        }
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    /// All that has come since the last frame, as one.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let stream = &mut *self;
        while !stream.ended {
            match stream.events.poll_recv(context) {
                Poll::Ready(event) => stream.take(event),
                Poll::Pending => break,
            }
        }
        match (stream.text.is_empty(), stream.ended) {
            (false, _) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut stream.text).into())))),
            (true, true) => Poll::Ready(None),
            (true, false) => Poll::Pending,
        }
    }
}
