//! `upbeat token`

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use ipnet::IpNet;
use uuid::Uuid;

use super::options::network;
use super::{CommandError, require_data, say, with_database};
use crate::access::audit::append_operators;
use crate::access::{self, App, EnvironmentKind, NewToken, Role, TokenRow, endpoint, find_environment};
use crate::config::Storage;
use crate::id::TokenId;
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

pub async fn token(storage: Storage, command: TokenCommand) -> Result<(), CommandError> {
    require_data(&storage)?;
    with_database(&storage, async |app| run(&app, command).await).await
}

async fn run(app: &App, command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(request) => create(app, request).await,
        TokenCommand::List => {
            for token in access::list(&mut *app.db.acquire().await?).await? {
                say(&line(&token, app.clock.now()));
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
    let change = access::token_change("command line", id, "create", &token.name);
    append_operators(&mut transaction, &app.ids, environment.id, now, change).await?;
    transaction.commit().await?;
    println!("{secret}");
    Ok(())
}

/// Each entry must name something, perhaps an operation that is not built yet: a mistyped one would lock its user out.
fn check_endpoints(entries: &[String]) -> Result<(), CommandError> {
    let operations = crate::app::operations();
    for entry in entries {
        let one = std::slice::from_ref(entry);
        if !operations.iter().any(|(method, route)| endpoint::allows(one, method, route)) {
            let reason = format!("--endpoint `{entry}` names no operation; write `POST /v1/ingest`");
            return Err(CommandError::Refused(reason));
        }
    }
    Ok(())
}

async fn archive(app: &App, id: TokenId) -> Result<(), CommandError> {
    let mut transaction = app.db.begin().await?;
    let now = app.clock.now();
    let archived = access::archive(&mut transaction, id, now).await?;
    let (environment_id, name) =
        archived.ok_or_else(|| CommandError::Refused(format!("no token in use has the id {id}")))?;
    let change = access::token_change("command line", id, "archive", &name);
    append_operators(&mut transaction, &app.ids, environment_id, now, change).await?;
    transaction.commit().await?;
    println!("{id} is archived.");
    Ok(())
}

fn line(token: &TokenRow, now: Instant) -> String {
    let state = match (token.archived_at, token.expires_at) {
        (Some(at), _) => format!("archived {}", shown(at)),
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
