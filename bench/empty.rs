//! The empty workflow that ours are measured by: started, told to end by one signal, ended.

use std::thread;

use temporalio_client::{
    Client, WorkflowGetResultOptions, WorkflowHandle, WorkflowSignalOptions, WorkflowStartOptions,
};
use temporalio_common::HasWorkflowDefinition;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    Runtime, SyncWorkflowContext, Worker, WorkerOptions, WorkflowContext, WorkflowResult,
    runtime::RuntimeOptions,
};
use tokio::task::LocalSet;

use crate::harness::{Shop, unique};

#[workflow]
#[derive(Default)]
pub struct EmptyWorkflow {
    ended: bool,
}

#[workflow_methods]
impl EmptyWorkflow {
    #[run(name = "empty")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        ctx.wait_condition(|s| s.ended).await?;
        Ok(())
    }

    #[signal(name = "end")]
    pub fn end(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.ended = true;
    }
}

/// A worker for empty workflows, on the same server as the shop's.
pub struct Empties {
    client: Client,
    task_queue: String,
}

pub struct Empty(WorkflowHandle<Client, <EmptyWorkflow as HasWorkflowDefinition>::Run>);

impl Empties {
    pub async fn open(shop: &Shop) -> Self {
        let client = shop.temporal.client().await.clone();
        let task_queue = format!("empty-{}", unique());
        let options = WorkerOptions::new(&task_queue)
            .register_workflow::<EmptyWorkflow>()
            .unwrap()
            .max_cached_workflows(10_000)
            .build();
        let (tokio, workers) = (tokio::runtime::Handle::current(), client.clone());
        // It polls until the benchmark ends.
        thread::spawn(move || {
            tokio.block_on(LocalSet::new().run_until(async move {
                let runtime =
                    Runtime::from_current_tokio(RuntimeOptions::builder().build().unwrap()).unwrap();
                Worker::new(&runtime, workers, options).unwrap().run().await.unwrap();
            }));
        });
        Self { client, task_queue }
    }

    pub async fn start(&self) -> Empty {
        let options = WorkflowStartOptions::new(&self.task_queue, unique()).build();
        Empty(self.client.start_workflow(EmptyWorkflow::run, (), options).await.unwrap())
    }
}

impl Empty {
    pub async fn signal(&self) {
        self.0.signal(EmptyWorkflow::end, (), WorkflowSignalOptions::default()).await.unwrap();
    }

    pub async fn ended(&self) {
        self.0.get_result(WorkflowGetResultOptions::default()).await.unwrap();
    }
}
