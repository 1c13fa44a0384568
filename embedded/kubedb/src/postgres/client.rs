//! Talking to a server as its superuser.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};

use super::accounts::identifier;
use crate::KubedbError;
use crate::secret::Credentials;
use crate::server::Silence;

/// The database that every server has and that clients connect to first.
const FIRST: &str = "postgres";

/// Longer than a server on loopback takes to answer, so that one that hangs does not hold anybody
/// up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Logs in once.
pub(super) async fn probe(port: u16, credentials: &Credentials) -> Result<(), Silence> {
    match connect(port, credentials, FIRST).await {
        Ok(_) => Ok(()),
        Err(error) => match error.code() {
            // It is there and knows us; only somebody has removed the database.
            Some(&SqlState::INVALID_CATALOG_NAME) => Ok(()),
            None | Some(&SqlState::CANNOT_CONNECT_NOW | &SqlState::TOO_MANY_CONNECTIONS) => Err(
                Silence::NotYet(KubedbError::database("connect to the server")(error)),
            ),
            Some(_) => Err(Silence::Refused(KubedbError::database(
                "log in to the server",
            )(error))),
        },
    }
}

/// Connects to a database of a server on loopback; the connection ends with the client.
async fn connect(port: u16, credentials: &Credentials, database: &str) -> Result<Client, Error> {
    let (client, connection) = Config::new()
        .host("127.0.0.1")
        .port(port)
        .user(&credentials.username)
        .password(credentials.password.as_bytes())
        .dbname(database)
        .application_name("kubestash-kubedb")
        .connect_timeout(TIMEOUT)
        .connect(NoTls)
        .await?;
    // What goes wrong with it is told to whoever uses the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Makes a database unless it is there.
pub(crate) async fn create_database(
    port: u16,
    credentials: &Credentials,
    name: &str,
    action: &'static str,
) -> Result<(), KubedbError> {
    let failed = || KubedbError::database(action);
    let client = connect(port, credentials, FIRST).await.map_err(failed())?;
    let known = "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1";
    let known = client.query_opt(known, &[&name]).await.map_err(failed())?;
    if known.is_some() {
        return Ok(());
    }
    // From the template that users have not touched.
    let create = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'",
        identifier(name)
    );
    client.batch_execute(&create).await.map_err(failed())
}

/// Runs statements one after the other.
pub(crate) async fn execute(
    port: u16,
    credentials: &Credentials,
    database: &str,
    statements: &[String],
    action: &'static str,
) -> Result<(), KubedbError> {
    let failed = || KubedbError::database(action);
    let client = connect(port, credentials, database)
        .await
        .map_err(failed())?;
    for statement in statements {
        client.batch_execute(statement).await.map_err(failed())?;
    }
    Ok(())
}
