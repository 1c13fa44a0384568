//! Talking to a server as its superuser.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::KubedbError;
use crate::secret::Credentials;

/// Connects to a server on loopback.
pub(super) async fn connect(port: u16, credentials: &Credentials) -> mysql_async::Result<Conn> {
    let options: Opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(credentials.username.clone()))
        .pass(Some(credentials.password.as_str()))
        .prefer_socket(false)
        .into();
    let mut connection = Conn::new(options).await?;
    connection.ping().await?;
    Ok(connection)
}

/// Runs statements one after the other.
pub(crate) async fn execute(
    port: u16,
    credentials: &Credentials,
    statements: &[String],
    action: &'static str,
) -> Result<(), KubedbError> {
    let mut connection = connect(port, credentials)
        .await
        .map_err(KubedbError::database(action))?;
    for statement in statements {
        connection
            .query_drop(statement)
            .await
            .map_err(KubedbError::database(action))?;
    }
    connection
        .disconnect()
        .await
        .map_err(KubedbError::database(action))
}
