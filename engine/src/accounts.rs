//! Workflows of codes that are mailed for accounts.

use domain::AccountCodeId;
use temporalio_client::{WorkflowSignalOptions, WorkflowStartOptions};
use workflows::{AccountCodeInput, AccountCodeWorkflow, names};

use crate::{CALL_TIMEOUT, Engine, Error, orders::REUSE, within};

impl Engine {
    /// Starts the workflow of a code. Told twice, it runs once.
    pub async fn start_account_code(&self, code: AccountCodeId) -> Result<(), Error> {
        let client = self.client().await?;
        let options = WorkflowStartOptions::new(self.task_queue(), names::account_code_workflow(code))
            .id_reuse_policy(REUSE)
            .static_summary("Code by mail".to_owned())
            .build();
        let call = client.start_workflow(AccountCodeWorkflow::run, AccountCodeInput { code }, options);
        match within(CALL_TIMEOUT, call).await {
            Ok(_) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Wakes the workflow of a code that was used. It looks by itself when the code would have died.
    pub async fn tell_code_used(&self, code: AccountCodeId) -> Result<(), Error> {
        let client = self.client().await?;
        let handle = client.get_workflow_handle::<AccountCodeWorkflow>(names::account_code_workflow(code));
        let call = handle.signal(AccountCodeWorkflow::used, (), WorkflowSignalOptions::default());
        match within(CALL_TIMEOUT, call).await {
            Ok(()) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
