//! The production commands, one process each.

use std::{fmt::Display, sync::Arc, time::Duration};

use activities::mail::Mailer;
use anyhow::Context as _;
use events::webhooks::{Networks, Sender};
use store::audit::Money;
use telemetry::SdkMetrics;
use tokio::net::TcpListener;

use workflows::contract::Reconciled;

use crate::{
    config, identity, kafka, mails,
    providers::{self, Configured},
    stop::Stop,
    webhooks,
};

const WATCH_INTERVAL: Duration = Duration::from_secs(5);

pub async fn api() -> anyhow::Result<()> {
    let stop = Stop::on_signal()?;
    let http = config::Http::load()?;
    let metrics = SdkMetrics::start().await?;
    let db = config::Database::load()?.open()?;
    let engine = Arc::new(config::Temporal::load()?.open(&metrics)?);
    let listener = listen(&http.listen).await?;
    let sandbox = own_sandbox(&http, &listener).await?;
    let sandbox_url = sandbox.as_ref().map(|own| own.url().to_owned()).or_else(providers::sandbox_url);
    let configured = Configured::load(sandbox_url.as_deref().zip(http.sandbox_secret.as_deref()))?;
    let webhooks = webhooks::sender(Networks::default())?;
    let app = api_app(&http, db.clone(), engine.clone(), configured, webhooks, metrics)?;
    let app = identity::with_customers(app, identity::secrets(None)?.as_deref())?;
    let is_set = |name: &str| config::optional(name).is_some();
    if is_set("HOLDFAST_ACCOUNT_SECRET") && !is_set("HOLDFAST_TRUSTED_PROXIES") {
        tracing::warn!(
            "HOLDFAST_TRUSTED_PROXIES is not set: behind a proxy all customers would share one address's \
             limits"
        );
    }
    let app = mails::with_bounces(mails::with_hosted_pages(app, &mails::Defaults::default())?)?;
    let app = match config::optional_mail() {
        Some(mail) => app.with_mail(Arc::new(Mailer::new(&mail)?.probe())),
        None => app,
    };
    let app = with_console(app, &http, None);
    run_beside(watch_database(db));
    run_beside(watch_temporal(engine));
    tracing::info!(address = %listener.local_addr()?, "api started");
    api::serve(app, listener, http.limits, stop.wait()).await;
    Ok(())
}

/// A sandbox of the API's own, if it is wanted and none runs elsewhere. Its books end with the process.
async fn own_sandbox(
    http: &config::Http,
    listener: &TcpListener,
) -> anyhow::Result<Option<sandbox::Sandbox>> {
    match (&http.sandbox_secret, providers::sandbox_url()) {
        (Some(secret), None) => {
            let api_url = format!("http://{}", api::loopback(listener.local_addr()?));
            providers::start_sandbox(secret, &api_url, http.api_keys.first().cloned(), None).await.map(Some)
        }
        _ => Ok(None),
    }
}

pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (HOLDFAST_LISTEN)"))
}

/// The API, with routes to play with the sandbox if there is one.
pub fn api_app(
    http: &config::Http,
    db: store::Db,
    engine: Arc<engine::Engine>,
    configured: Configured,
    webhooks: Arc<Sender>,
    metrics: SdkMetrics,
) -> anyhow::Result<api::App> {
    let placements = match http.max_waiting {
        Some(waiting) => store::PlacementBatcher::with_max_waiting(waiting, &db)?,
        None => store::PlacementBatcher::open(&db)?,
    };
    let keys = api::ApiKeys::new(&http.api_keys);
    let app = api::App::new(db, placements, engine, keys, configured.providers, webhooks, metrics)
        .with_gateway(http.gateway.clone());
    let app = if http.with_docs { app } else { app.without_docs() };
    Ok(match configured.sandbox {
        None => app,
        Some(sandbox) => {
            tracing::warn!(
                "the sandbox payment provider is on: anyone with the API key can pay orders with play money"
            );
            app.with_sandbox(sandbox)
        }
    })
}

/// The same with the console, if it is wanted. `dev` has more to offer.
pub fn with_console(app: api::App, http: &config::Http, dev: Option<console::Dev>) -> api::App {
    let settings = console::Settings { dev, with_docs: http.with_docs };
    match http.with_console {
        true => app.with_pages(move |api| console::routes(api, settings.clone())),
        false => app,
    }
}

pub async fn worker() -> anyhow::Result<()> {
    let stop = Stop::on_signal()?;
    let metrics = SdkMetrics::start().await?;
    let db = config::Database::load()?.open()?;
    let engine = Arc::new(config::Temporal::load()?.open(&metrics)?);
    let mailer = Mailer::new(&mails::mailer()?)?;
    let secret = config::secret("HOLDFAST_SANDBOX_WEBHOOK_SECRET")?;
    if secret.is_some() && providers::sandbox_url().is_none() {
        tracing::warn!("HOLDFAST_SANDBOX_URL is not set: this worker does not find the sandbox of the API");
    }
    let configured = Configured::load(providers::sandbox_url().as_deref().zip(secret.as_deref()))?;
    if let Some(address) = config::optional("HOLDFAST_METRICS_LISTEN") {
        let listener = TcpListener::bind(&address)
            .await
            .with_context(|| format!("cannot listen on {address} (HOLDFAST_METRICS_LISTEN)"))?;
        let asked = api::Operations::new(db.clone(), engine.clone(), metrics.clone())
            .with_mail(Arc::new(mailer.probe()));
        run_beside(api::serve_operations(asked, listener));
    }
    if let Some(address) = config::optional("HOLDFAST_CODEC_LISTEN") {
        let listener = TcpListener::bind(&address)
            .await
            .with_context(|| format!("cannot listen on {address} (HOLDFAST_CODEC_LISTEN)"))?;
        let (engine, ui_url) = (engine.clone(), config::optional("HOLDFAST_TEMPORAL_UI_URL"));
        run_beside(async move { api::serve_codec(engine, ui_url.as_deref(), listener).await });
    }
    let tell_of_mail = mailer.tell_whether_reached();
    let beside = kafka::Beside::new(kafka::settings()?)?;
    let owner = webhooks::owner(&mailer)?;
    let worker = worker::Worker::new(db.clone(), engine.clone(), mailer, configured.providers, metrics)?
        .with_webhooks(webhooks::sender(Networks::default())?, owner)
        .within(config::worker_limits()?);
    let worker = match identity::code_keys(identity::secrets(None)?.as_deref())? {
        Some(keys) => worker.with_accounts(keys),
        None => worker,
    };
    run_beside(watch_database(db.clone()));
    run_beside(tell_of_mail);
    let beside = beside.run(db, engine, stop.clone());
    let (worked, ()) = tokio::join!(worker.run(stop.wait()), beside);
    worked
}

/// Starts what goes on beside the service, until the process ends.
#[expect(clippy::disallowed_methods, reason = "one of each kind for each process")]
fn run_beside(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// A service starts without what it stands on, which may come later, and outlives its absence. Once each time
/// it says why.
async fn watch<E: Display, F: Future<Output = Result<(), E>>>(what: &str, usable: impl Fn() -> F) {
    let mut was_usable = true;
    loop {
        let usable = usable().await;
        match &usable {
            Err(error) if was_usable => tracing::error!(%error, "{what} cannot be used"),
            Ok(()) if !was_usable => tracing::info!("{what} can be used again"),
            _ => {}
        }
        was_usable = usable.is_ok();
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

async fn watch_database(db: store::Db) {
    let usable = async || match db.ready().await {
        Ok(_) => Ok(()),
        // The pool says that it waited; a connection of its own says for what.
        Err(_) => db.usable().await,
    };
    watch("the database", usable).await;
}

/// Without Temporal orders are placed and wait. (The worker says so itself, when it connects.)
async fn watch_temporal(engine: Arc<engine::Engine>) {
    watch("Temporal", || engine.ready()).await;
}

pub async fn migrate() -> anyhow::Result<()> {
    let db = config::Database::load()?.open()?;
    db.migrate().await?;
    tracing::info!("the schema is up to date");
    Ok(())
}

/// Prints what was found in each provider's statement.
#[expect(clippy::print_stdout, reason = "the report is this command's output")]
pub async fn reconcile() -> anyhow::Result<()> {
    let metrics = SdkMetrics::start().await?;
    let engine = config::Temporal::load()?.open(&metrics)?;
    let found = engine.reconcile(&uuid::Uuid::new_v4().to_string()).await?;
    for (provider, read) in &found {
        match read {
            Some(Reconciled { lines, healed, unmatched, missing }) => println!(
                "{provider}: {lines} lines read, {healed} taken up now, {unmatched} unmatched, \
                 {missing} missing"
            ),
            None => println!("{provider}: could not be read; the next run reads on from the last one"),
        }
    }
    anyhow::ensure!(!found.is_empty(), "no payment provider is configured");
    anyhow::ensure!(found.values().all(Option::is_some), "some books could not be read");
    anyhow::ensure!(
        found.values().flatten().all(|read| read.unmatched == 0),
        "some lines match nothing in our books"
    );
    Ok(())
}

pub async fn rebuild_catalogue() -> anyhow::Result<()> {
    let db = config::Database::load()?.open()?;
    db.usable().await?;
    let products = store::products::history::rebuild(&db).await?;
    tracing::info!(products, "the catalogue is what its history says");
    Ok(())
}

/// Prints each invariant, and the rows that break it.
#[expect(clippy::print_stdout, reason = "the report is this command's output")]
pub async fn audit() -> anyhow::Result<()> {
    let db = config::Database::load()?.open()?;
    db.usable().await?;
    let findings = store::audit::run(&db).await?;
    let mut broken = 0;
    for finding in &findings {
        let verdict = if finding.broken == 0 { "ok    " } else { "BROKEN" };
        println!("{verdict} {}: {} broken", finding.invariant, finding.broken);
        for row in &finding.rows {
            println!("         {row}");
        }
        broken += usize::from(finding.broken > 0);
    }
    for money in store::audit::money(&db).await? {
        let verdict = if money.adds_up() { "ok    " } else { "BROKEN" };
        let Money { currency, captured, orders, refunded, refunding, disputed, open, decided } = &money;
        println!(
            "{verdict} 3. {currency}: captured {captured} = orders {orders} + refunded {refunded} \
             + being refunded {refunding} + open exceptions {open} + decided by a person {decided} \
             + disputed {disputed}"
        );
        broken += usize::from(!money.adds_up());
    }
    anyhow::ensure!(broken == 0, "{broken} of the checks found something broken");
    Ok(())
}
