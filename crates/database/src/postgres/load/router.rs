//! A dump on its way: each part goes where it belongs, and what is to be left out is left out. Only
//! positions count.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, mpsc};

use tokio::sync::mpsc::UnboundedSender;

use super::super::layout::To;
use super::super::scan::Span;
use crate::load::Input;

/// What the conductor of the clients is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// A client for a part.
    Begin {
        /// Where the part goes.
        to: To,
        /// Hears where to write it.
        reply: mpsc::Sender<Arc<File>>,
    },
    /// A part for the whole server is complete.
    EndServer {
        /// Hears when it is loaded.
        reply: mpsc::Sender<()>,
    },
    /// All parts are complete.
    Finish,
}

/// What of a part is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) to: To,
    pub(super) spans: Vec<Span>,
    /// What is loaded before the spans that begin there.
    pub(super) before: BTreeMap<u64, String>,
}

/// Sends each part of a dump where it belongs.
pub(super) struct Router {
    /// What is still to be loaded: number of the part, where it is, and what comes before it.
    spans: VecDeque<(usize, Span, Option<String>)>,
    parts: Vec<To>,
    /// The part that is being loaded.
    current: Option<(usize, Arc<File>)>,
    position: u64,
    orders: UnboundedSender<Order>,
}

impl Router {
    /// For these parts, in their order.
    pub(super) fn new(kept: Vec<Kept>, orders: UnboundedSender<Order>) -> Self {
        let mut router = Self {
            spans: VecDeque::new(),
            parts: Vec::new(),
            current: None,
            position: 0,
            orders,
        };
        for (number, part) in kept.into_iter().enumerate() {
            let mut before = part.before;
            let spans = part.spans.into_iter();
            let spans = spans.map(|span| (number, span, before.remove(&span.offset)));
            router.spans.extend(spans);
            router.parts.push(part.to);
        }
        router
    }

    fn order(&self, order: Order) -> io::Result<()> {
        let sent = self.orders.send(order);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Where the part goes; begins it.
    fn file(&mut self, number: usize) -> io::Result<Arc<File>> {
        if let Some((current, file)) = &self.current
            && *current == number
        {
            return Ok(Arc::clone(file));
        }
        self.leave()?;
        let (reply, answer) = mpsc::channel();
        let to = self.parts[number].clone();
        self.order(Order::Begin { to, reply })?;
        let file = answer.recv();
        let file = file.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.current = Some((number, Arc::clone(&file)));
        Ok(file)
    }

    /// The part that was being loaded is complete.
    fn leave(&mut self) -> io::Result<()> {
        let Some((number, file)) = self.current.take() else {
            return Ok(());
        };
        drop(file);
        if self.parts[number] != To::Server {
            return Ok(());
        }
        // The databases need the roles.
        let (reply, answer) = mpsc::channel();
        self.order(Order::EndServer { reply })?;
        answer.recv().map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Router {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let start = self.position;
        let end = start + buffer.len() as u64;
        while let Some((number, span, before)) = self.spans.front_mut() {
            let (number, span) = (*number, *span);
            if span.offset >= end {
                break;
            }
            if let Some(text) = before.take() {
                let file = self.file(number)?;
                (&*file).write_all(text.as_bytes())?;
            }
            let from = span.offset.max(start);
            let to = span.end.min(end);
            if from < to {
                let piece = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
                let file = self.file(number)?;
                (&*file).write_all(&buffer[piece(from)..piece(to)])?;
            }
            if span.end > end {
                break;
            }
            self.spans.pop_front();
        }
        self.position = end;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Input for Router {
    fn end(mut self: Box<Self>) -> io::Result<()> {
        // Only a dump that nobody has looked at ends where it ends.
        let open = self.spans.iter().any(|(_, span, _)| span.end != u64::MAX);
        if open {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.leave()?;
        self.order(Order::Finish)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// Loads a text in pieces; what each part got, and whether it ended well.
    fn routed(kept: Vec<Kept>, text: &[u8], chunk: usize) -> (Vec<(To, String)>, bool) {
        let (orders, mut ordered) = unbounded_channel();
        let clients = std::thread::spawn(move || {
            let mut files: Vec<(To, Arc<File>)> = Vec::new();
            while let Some(order) = ordered.blocking_recv() {
                match order {
                    Order::Begin { to, reply } => {
                        let file = Arc::new(tempfile::tempfile().unwrap());
                        files.push((to, Arc::clone(&file)));
                        reply.send(file).unwrap();
                    }
                    Order::EndServer { reply } => reply.send(()).unwrap(),
                    Order::Finish => break,
                }
            }
            let got = files.into_iter().map(|(to, file)| {
                let mut text = String::new();
                (&*file).rewind().unwrap();
                (&*file).read_to_string(&mut text).unwrap();
                (to, text)
            });
            got.collect()
        });
        let mut router = Router::new(kept, orders);
        let mut written = text.chunks(chunk).map(|piece| router.write_all(piece));
        let written = written.try_for_each(|written| written);
        let ended = written.and_then(|()| Box::new(router).end()).is_ok();
        (clients.join().unwrap(), ended)
    }

    fn kept(to: To, spans: &[(u64, u64)]) -> Kept {
        let span = |(offset, end): &(u64, u64)| Span {
            offset: *offset,
            end: *end,
        };
        Kept {
            to,
            spans: spans.iter().map(span).collect(),
            before: BTreeMap::new(),
        }
    }

    #[test]
    fn parts_are_told_apart_by_position_alone_and_what_is_cut_is_left_out() {
        let a = || To::Database("a".to_owned());
        for chunk in [1, 2, 3, 5, 100] {
            let parts = vec![
                kept(To::Server, &[(2, 4), (5, 6)]),
                kept(a(), &[(6, 6), (7, 9)]),
            ];
            let (got, ended) = routed(parts, b"##abxcydefgh", chunk);
            let expected = [(To::Server, "abc".to_owned()), (a(), "de".to_owned())];
            assert_eq!((got.as_slice(), ended), (&expected[..], true), "{chunk}");
        }
    }

    #[test]
    fn what_stands_instead_of_something_comes_where_it_was() {
        for chunk in [1, 2, 3, 5, 100] {
            let mut part = kept(To::Database("a".to_owned()), &[(0, 2), (4, 6)]);
            part.before.insert(4, "<instead>".to_owned());
            let (got, ended) = routed(vec![part], b"abXXcd", chunk);
            assert!(ended && got[0].1 == "ab<instead>cd", "{chunk}: {got:?}");
        }
    }

    #[test]
    fn a_dump_that_ends_before_its_parts_do_is_not_complete() {
        let a = || To::Database("a".to_owned());
        let (_, ended) = routed(vec![kept(a(), &[(0, 5)])], b"abc", 2);
        assert!(!ended);
        let (got, ended) = routed(vec![kept(a(), &[(0, u64::MAX)])], b"abc", 2);
        assert!(ended && got[0].1 == "abc");
    }
}
