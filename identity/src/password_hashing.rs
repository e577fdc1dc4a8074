//! Hashes passwords with argon2id, and compares them.
//!
//! One hash wants 19 MiB and a processor for a while, on purpose: 28 to 33 ms, measured in a release build on
//! two shared EPYC cores, where m=46 MiB, t=1, which OWASP holds to be as good, took 48 and more. So a place
//! does about 30 in a second. It is done on threads of its own, as many as there are places, and few wait for
//! one of those: beyond that, whoever asks is told to come again. These threads give way to all others. A
//! flood of sign-ins slows sign-ins down, and little else.

use std::{
    hint::black_box,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::password::{Password, normalized};

/// In KiB. With two passes and one lane: what OWASP asks for at least.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
/// How many wait for each place: the last of them for about half a second, and longer while others want the
/// processor.
const QUEUE_PER_PLACE: usize = 16;
/// How much less of a processor a hash gets than whatever wants it, too: about a tenth of what others get
/// (Linux counts each step as a quarter more or less). On a processor that nobody else wants it is as fast as
/// ever.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Of hashes that nobody keeps.
const DUMMY_SALT: &[u8] = b"nobody has this account";

/// All places are taken, and so is the queue before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that hash passwords. They end when the last clone is dropped.
#[derive(Clone)]
pub struct Passwords(SyncSender<Job>);

impl Passwords {
    /// With so many threads, at least one.
    ///
    /// # Errors
    /// If the machine gives no thread.
    pub fn new(places: usize) -> io::Result<Self> {
        let places = places.max(1);
        let (queue, jobs) = sync_channel::<Job>(places * QUEUE_PER_PLACE);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..places {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name("password".to_owned()).spawn(move || work(&jobs))?;
        }
        Ok(Self(queue))
    }

    /// A hash to keep, as a PHC string.
    ///
    /// # Errors
    /// [`Busy`] if there is no place.
    pub async fn hash(&self, password: &Password) -> Result<String, Busy> {
        let password = password.clone();
        let hash = move || argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string());
        // Without a reason to fail but that the machine gives no randomness.
        self.run(hash).await?.map_err(|error| {
            tracing::error!(%error, "a password cannot be hashed");
            Busy
        })
    }

    /// Whether the candidate is the password that was hashed. Without a hash it is not, which takes just as
    /// long: nobody learns from the time whether there is an account.
    ///
    /// # Errors
    /// [`Busy`] if there is no place.
    pub async fn verify(&self, hash: Option<&str>, candidate: &str) -> Result<bool, Busy> {
        let Some(candidate) = normalized(candidate) else { return Ok(false) };
        let hash = hash.map(str::to_owned);
        self.run(move || compare(hash.as_deref(), &candidate)).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            // Whoever asked may have gone while the job waited.
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        };
        self.0.try_send(Box::new(job)).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }
}

/// On Linux each thread has a priority of its own; elsewhere it is the whole process', which is left alone.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "passwords are hashed at the same priority as all else");
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    give_way();
    loop {
        // The lock is held while waiting: the others wait for it instead.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("hashing a password panicked");
        }
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES));
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.expect("within the bounds of argon2"))
}

fn compare(hash: Option<&str>, candidate: &Zeroizing<String>) -> bool {
    let hash = hash.and_then(|hash| {
        let parsed = PasswordHash::new(hash);
        parsed.inspect_err(|error| tracing::error!(%error, "a stored hash is none")).ok()
    });
    let Some(hash) = hash else {
        let mut unused = [0; HASH_BYTES];
        let _ = argon2().hash_password_into(candidate.as_bytes(), DUMMY_SALT, &mut unused);
        black_box(unused);
        return false;
    };
    argon2().verify_password(candidate.as_bytes(), &hash).is_ok()
}
