//! The thread that owns the edge. System calls on maps and links can wait for the kernel, so they run there
//! one after the other, and never on the async runtime.

use std::{
    sync::mpsc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::{Problem, StartError};
use crate::edge::{Edge, EdgeConfig};

/// A handle to the thread; the thread ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Kernel {
    jobs: mpsc::Sender<Job>,
}

type Job = Box<dyn FnOnce(&mut Edge) + Send>;

impl Kernel {
    /// Starts the thread, which opens the edge: what it needs only for that, types of the whole kernel among it, is memory
    /// that the same thread has use for when it reads a million policies.
    ///
    /// # Errors
    ///
    /// What opening says, or that the system has no thread left.
    pub async fn open(config: EdgeConfig) -> Result<Self, StartError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, outcome) = oneshot::channel();
        let _detached: JoinHandle<()> = thread::Builder::new()
            .name(String::from("edge"))
            .spawn(move || match Edge::open(config) {
                Ok(mut edge) => {
                    drop(opened.send(Ok(())));
                    for job in queue {
                        job(&mut edge);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .map_err(StartError::Thread)?;
        outcome
            .await
            .map_err(|_panicked| Problem::KernelGone)?
            .map_err(Problem::from)?;
        Ok(Self { jobs })
    }

    /// Runs one job on the edge and waits for its answer. A caller that stops waiting does not stop the job.
    ///
    /// # Errors
    ///
    /// [`Problem::KernelGone`] if the thread has ended, which only a panic in a job can do.
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Edge) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |edge| {
            // The caller may have gone; the job is done all the same.
            drop(answer.send(job(edge)));
        });
        self.jobs
            .send(job)
            .map_err(|_no_thread| Problem::KernelGone)?;
        answered.await.map_err(|_panicked| Problem::KernelGone)
    }
}
