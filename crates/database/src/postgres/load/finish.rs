//! The end of a load: nothing is committed before every client has worked off everything.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::load::{LoadClient, LoadError};

/// Time that a psql gets to end after it has stopped reading: it stops only because it ends.
const ENDING: Duration = Duration::from_secs(2);

/// The transaction of one database. Its client ends before its input does: half a dump is never committed.
pub(super) struct Session {
    pub(super) client: LoadClient,
    pub(super) input: Arc<File>,
    /// Whether it has answered the last query.
    pub(super) answered: JoinHandle<bool>,
}

/// The end of what belongs to the whole server; its client ends with it.
pub(super) struct ServerEnd(pub(super) JoinHandle<Result<(), LoadError>>);

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All clients of a load.
pub(super) struct Work {
    pub(super) sessions: Vec<Session>,
    pub(super) server: Option<ServerEnd>,
    /// Hears when the dump is complete.
    pub(super) ready: oneshot::Receiver<()>,
}

impl Work {
    pub(super) async fn finish(mut self) -> Result<(), LoadError> {
        let undone = self.server.is_none();
        if (&mut self.ready).await.is_err() {
            return Err(self.reason(undone).await);
        }
        for at in 0..self.sessions.len() {
            let Some(session) = self.sessions.get_mut(at) else {
                break;
            };
            if !(&mut session.answered).await.unwrap_or_default() {
                return Err(self.reason(undone).await);
            }
        }
        for (committed, session) in std::mem::take(&mut self.sessions).into_iter().enumerate() {
            let Session {
                mut client, input, ..
            } = session;
            drop(input);
            client.wait(undone && committed == 0).await?;
        }
        Ok(())
    }

    /// Why the dump was not taken to its end: what a client said that has ended by itself.
    async fn reason(&mut self, undone: bool) -> LoadError {
        if let Some(ServerEnd(task)) = &mut self.server
            && let Ok(Ok(Err(error))) = tokio::time::timeout(Duration::from_secs(1), task).await
        {
            return error;
        }
        let looking = async {
            loop {
                for session in &mut self.sessions {
                    if let Ok(Some(status)) = session.client.child.try_wait()
                        && !status.success()
                        && let Err(error) = session.client.wait(undone).await
                    {
                        return error;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(ENDING, looking)
            .await
            .unwrap_or(LoadError::Broken { undone })
    }
}
