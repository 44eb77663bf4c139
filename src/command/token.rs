//! `upbeat token`

use std::net::IpAddr;

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use ipnet::IpNet;
use uuid::Uuid;

use super::{CommandError, require_data, with_database};
use crate::access::audit::{self, Actor, Entry, Outcome};
use crate::access::{
    self, App, EnvironmentKind, NewToken, Origin, Role, TokenRow, endpoint, environment_now, find_environment,
};
use crate::config::Storage;
use crate::id::{EnvironmentId, TokenId};
use crate::time::{Instant, parse_instant, shown};

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token; its secret is printed once.
    Create(CreateToken),
    /// List tokens, without their secrets.
    List,
    /// Put a token out of use, at once and for good.
    Archive { id: Uuid },
}

#[derive(Args)]
pub struct CreateToken {
    #[arg(long, value_parser = PossibleValuesParser::new(["sandbox", "production"]))]
    environment: String,
    /// Shown as `created_by` on what the token makes, and in the audit log.
    #[arg(long)]
    name: String,
    #[arg(long, default_value = "admin", value_parser = PossibleValuesParser::new(["admin", "writer", "reader"]))]
    role: String,
    /// An operation that it may be used for, such as `POST /v1/ingest` or `/v1/customers*`; repeat for more. All when
    /// omitted.
    #[arg(long = "endpoint", value_name = "ENDPOINT")]
    endpoints: Vec<String>,
    /// A network that it may be used from, such as 203.0.113.0/24; repeat for more. All when omitted.
    #[arg(long = "network", value_name = "CIDR", value_parser = network)]
    networks: Vec<IpNet>,
    /// When it goes out of use, such as 2027-01-01T00:00:00Z; never when omitted.
    #[arg(long, value_parser = |text: &str| parse_instant(text))]
    expires_at: Option<Instant>,
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or(single).map_err(|_| "is not a network such as 203.0.113.0/24".to_owned())
}

pub async fn token(storage: Storage, command: TokenCommand) -> Result<(), CommandError> {
    require_data(&storage)?;
    with_database(&storage, async |app| run(&app, command).await).await
}

async fn run(app: &App, command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(request) => create(app, request).await,
        TokenCommand::List => {
            for token in access::list(&mut *app.db.acquire().await?).await? {
                println!("{}", line(&token, app.clock.now()));
            }
            Ok(())
        }
        TokenCommand::Archive { id } => archive(app, TokenId(id)).await,
    }
}

async fn create(app: &App, request: CreateToken) -> Result<(), CommandError> {
    let kind =
        EnvironmentKind::parse(&request.environment).expect("the parser takes only known environments");
    let name = request.name.trim().to_owned();
    if name.is_empty() {
        return Err(CommandError::Refused("--name must not be empty".to_owned()));
    }
    let now = app.clock.now();
    if request.expires_at.is_some_and(|end| end <= now) {
        return Err(CommandError::Refused("--expires-at must be in the future".to_owned()));
    }
    check_endpoints(&request.endpoints)?;
    let mut transaction = app.db.begin().await?;
    let environment = find_environment(&mut transaction, kind).await?;
    let networks: Vec<String> = request.networks.iter().map(ToString::to_string).collect();
    let token = NewToken {
        environment_id: environment.id,
        role: Role::parse(&request.role).expect("the parser takes only known roles"),
        endpoints: Some(request.endpoints).filter(|list| !list.is_empty()),
        networks: Some(networks).filter(|list| !list.is_empty()),
        expires_at: request.expires_at,
        name,
    };
    let (id, secret) = access::create(&mut transaction, &app.ids, &token, now).await?;
    let description = format!("Created the API token {}", token.name);
    record(app, &mut transaction, environment.id, id, "create", description).await?;
    transaction.commit().await?;
    println!("{secret}");
    Ok(())
}

/// Each entry must name something: a mistyped one would lock its user out.
fn check_endpoints(entries: &[String]) -> Result<(), CommandError> {
    let routes = crate::app::routes();
    for entry in entries {
        let one = std::slice::from_ref(entry);
        if !routes.iter().any(|(method, route)| endpoint::allows(one, method, route)) {
            let reason = format!("--endpoint `{entry}` names no operation; write `POST /v1/ingest`");
            return Err(CommandError::Refused(reason));
        }
    }
    Ok(())
}

async fn archive(app: &App, id: TokenId) -> Result<(), CommandError> {
    let mut transaction = app.db.begin().await?;
    let archived = access::archive(&mut transaction, id, app.clock.now()).await?;
    let (environment_id, name) =
        archived.ok_or_else(|| CommandError::Refused(format!("no token in use has the id {id}")))?;
    let description = format!("Archived the API token {name}");
    record(app, &mut transaction, environment_id, id, "archive", description).await?;
    transaction.commit().await?;
    println!("{id} is archived.");
    Ok(())
}

/// The line of the audit log for a change that the command line made.
async fn record(
    app: &App,
    db: &mut sqlx::PgConnection,
    environment_id: EnvironmentId,
    id: TokenId,
    action: &str,
    description: String,
) -> Result<(), sqlx::Error> {
    let entry_id: Uuid = app.ids.next();
    let entry = Entry {
        id: entry_id,
        recorded_at: environment_now(db, environment_id, app.clock.now()).await?,
        actor: Actor { id: None, name: "command line".to_owned() },
        origin: &Origin { request_id: entry_id.to_string(), ..Origin::default() },
        resource_type: "api_token",
        resource_id: Some(id.to_string()),
        action,
        outcome: Outcome::Success,
        description,
    };
    audit::append(db, environment_id, &entry).await
}

fn line(token: &TokenRow, now: Instant) -> String {
    let state = match (token.archived_at, token.expires_at) {
        (Some(at), _) => format!("archived {at}"),
        (None, Some(end)) if end <= now => format!("expired {}", shown(end)),
        (None, Some(end)) => format!("in use until {}", shown(end)),
        (None, None) => "in use".to_owned(),
    };
    let (id, kind, role) = (token.id, token.environment_kind.to_lowercase(), token.role.as_str());
    let mut line = format!("{id}  {kind}  {role}  {}…  {}  {state}", token.secret_prefix, token.name);
    for (what, list) in [("only for", &token.endpoints), ("only from", &token.networks)] {
        if let Some(list) = list {
            line = format!("{line}  {what} {}", list.join(", "));
        }
    }
    line
}
