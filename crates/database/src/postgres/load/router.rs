//! A dump that is several: each section goes where it belongs.

use std::io::{self, Write};

use tokio::sync::oneshot;

use super::super::sections::Section;
use crate::load::Input;

/// Where a section goes.
pub(super) trait Part: Write + Send {
    /// The section is complete.
    fn complete(&mut self) -> io::Result<()>;

    /// All sections are complete.
    fn ask(&mut self) -> io::Result<()>;
}

/// Sends each section of a dump where it belongs, by its position.
pub(super) struct Router {
    /// The sections to come, the next one last.
    parts: Vec<(Section, Box<dyn Part>)>,
    position: u64,
    past: Vec<Box<dyn Part>>,
    told: oneshot::Sender<()>,
}

impl Router {
    /// For these sections, in their order. `told` hears when the dump is complete and every part was asked its last query.
    pub(super) fn new(mut parts: Vec<(Section, Box<dyn Part>)>, told: oneshot::Sender<()>) -> Self {
        parts.reverse();
        Self {
            parts,
            position: 0,
            past: Vec::new(),
            told,
        }
    }

    /// Takes note of a section that has ended.
    fn settle(&mut self) -> io::Result<()> {
        while let Some((section, _)) = self.parts.last() {
            if self.position < section.offset.saturating_add(section.length) {
                break;
            }
            if let Some((_, mut part)) = self.parts.pop() {
                part.complete()?;
                self.past.push(part);
            }
        }
        Ok(())
    }
}

impl Write for Router {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut rest = buffer;
        while !rest.is_empty() {
            self.settle()?;
            let Some((section, part)) = self.parts.last_mut() else {
                // The index.
                break;
            };
            let before = section.offset.saturating_sub(self.position);
            let wanted = match before {
                0 => section.offset.saturating_add(section.length) - self.position,
                before => before,
            };
            let count = usize::try_from(wanted)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            if before == 0 {
                part.write_all(&rest[..count])?;
            }
            self.position += count as u64;
            rest = &rest[count..];
        }
        self.settle()?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Input for Router {
    fn end(mut self: Box<Self>) -> io::Result<()> {
        while let Some((section, mut part)) = self.parts.pop() {
            // Only a dump without an index ends where it ends.
            if section.length != u64::MAX {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            part.complete()?;
            self.past.push(part);
        }
        for part in &mut self.past {
            part.ask()?;
        }
        // If nobody waits any more, it was cancelled.
        let _ = self.told.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<String>>);

    impl Write for Seen {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap()
                .push_str(std::str::from_utf8(buffer).unwrap());
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Part for Seen {
        fn complete(&mut self) -> io::Result<()> {
            self.write_all(b".")
        }

        fn ask(&mut self) -> io::Result<()> {
            self.write_all(b"?")
        }
    }

    fn router(sections: &[(u64, u64)], seen: &Seen) -> (Box<Router>, oneshot::Receiver<()>) {
        let (told, ready) = oneshot::channel();
        let part = |(offset, length): &(u64, u64)| {
            let section = Section {
                database: None,
                offset: *offset,
                length: *length,
            };
            (section, Box::new(seen.clone()) as Box<dyn Part>)
        };
        let router = Router::new(sections.iter().map(part).collect(), told);
        (Box::new(router), ready)
    }

    #[test]
    fn sections_are_told_apart_by_position_alone() {
        for chunk in [1, 2, 3, 100] {
            let seen = Seen::default();
            let (mut router, mut ready) = router(&[(2, 3), (5, 0), (7, 2)], &seen);
            for part in b"##abc##de##".chunks(chunk) {
                router.write_all(part).unwrap();
            }
            assert_eq!(*seen.0.lock().unwrap(), "abc..de.");
            assert!(ready.try_recv().is_err());
            router.end().unwrap();
            assert_eq!(*seen.0.lock().unwrap(), "abc..de.???");
            ready.try_recv().unwrap();
        }
    }

    #[test]
    fn a_dump_that_ends_before_its_sections_do_is_not_complete() {
        let seen = Seen::default();
        let (mut one, mut ready) = router(&[(0, 5)], &seen);
        one.write_all(b"abc").unwrap();
        assert!(one.end().is_err() && ready.try_recv().is_err());
        let seen = Seen::default();
        let (mut endless, mut ready) = router(&[(0, u64::MAX)], &seen);
        endless.write_all(b"abc").unwrap();
        endless.end().unwrap();
        ready.try_recv().unwrap();
        assert_eq!(*seen.0.lock().unwrap(), "abc.?");
    }
}
