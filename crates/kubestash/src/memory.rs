//! Where the memory comes from, and that it goes back.
//!
//! The definitions of our kinds are megabytes, and for a moment many times that whenever one is
//! read or documented. glibc keeps what such a moment took; jemalloc (settings in
//! `.cargo/config.toml`) returns it.

use tikv_jemalloc_ctl::background_thread;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Lets a thread return what is not used, also while the process is idle. Not for the supervisor:
/// entering namespaces needs a process without threads.
pub(crate) fn return_unused() {
    if let Err(error) = background_thread::write(true) {
        tracing::debug!(%error, "unused memory is returned only while the process works");
    }
}
