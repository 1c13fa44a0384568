//! Where the sections of a dump go: into the transaction of a database, or to the whole server.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, mpsc};

use bytes::BytesMut;

use super::router::Part;
use crate::load::Input;
use crate::stream::Filter;

/// A file that gets what a filter passes on.
pub(super) struct Filtered {
    pub(super) filter: Box<dyn Filter>,
    pub(super) to: Arc<File>,
}

impl Filtered {
    fn last(&mut self) -> io::Result<()> {
        let rest = self.filter.end();
        (&*self.to).write_all(&rest)
    }
}

impl Write for Filtered {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let passed = self.filter.pass(BytesMut::from(buffer));
        (&*self.to).write_all(&passed)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Input for Filtered {
    fn end(mut self: Box<Self>) -> io::Result<()> {
        self.last()
    }
}

/// To the transaction of a database.
pub(super) struct Transaction {
    pub(super) to: Filtered,
    pub(super) question: String,
}

impl Write for Transaction {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.to.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for Transaction {
    fn complete(&mut self) -> io::Result<()> {
        self.to.last()
    }

    fn ask(&mut self) -> io::Result<()> {
        (&*self.to.to).write_all(self.question.as_bytes())
    }
}

/// To the whole server.
pub(super) struct ServerPart {
    pub(super) to: Filtered,
    /// Whether its client ended well.
    pub(super) ended: mpsc::Receiver<bool>,
}

impl Write for ServerPart {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.to.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for ServerPart {
    /// Waits until it is loaded: the databases need the roles.
    fn complete(&mut self) -> io::Result<()> {
        self.to.last()?;
        // The end of its input is the end of psql.
        self.to.to = Arc::new(File::open("/dev/null")?);
        match self.ended.recv() {
            Ok(true) => Ok(()),
            _ => Err(io::Error::other("the roles were not taken")),
        }
    }

    fn ask(&mut self) -> io::Result<()> {
        Ok(())
    }
}
