//! Reading a stream to its end or error.

use std::error::Error;
use std::io::Read;

/// What came, and how it ended. The stream's errors are of type `E`.
pub(crate) async fn drain<E>(mut stream: impl Read + Send + 'static) -> (Vec<u8>, Result<usize, E>)
where
    E: Error + Send + Sync + 'static,
{
    tokio::task::spawn_blocking(move || {
        let mut data = Vec::new();
        let result = stream
            .read_to_end(&mut data)
            .map_err(|error| *error.into_inner().unwrap().downcast::<E>().unwrap());
        (data, result)
    })
    .await
    .unwrap()
}
