//! `upbeat token`

use clap::{Subcommand, builder::PossibleValuesParser};
use uuid::Uuid;

use super::{CommandError, require_data, with_database};
use crate::access::{self, App, EnvironmentKind, Role, find_environment};
use crate::config::Storage;

#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token; its secret is printed once.
    Create {
        #[arg(long, value_parser = PossibleValuesParser::new(["sandbox", "production"]))]
        environment: String,
        /// Shown as `created_by` on what the token makes.
        #[arg(long)]
        name: String,
        #[arg(long, default_value = "admin", value_parser = PossibleValuesParser::new(["admin", "writer", "reader"]))]
        role: String,
    },
    /// List tokens, without their secrets.
    List,
    /// Put a token out of use, at once and for good.
    Archive { id: Uuid },
}

pub async fn token(storage: Storage, command: TokenCommand) -> Result<(), CommandError> {
    require_data(&storage)?;
    with_database(&storage, async |app| run(&app, command).await).await
}

async fn run(app: &App, command: TokenCommand) -> Result<(), CommandError> {
    let mut db = app.db.acquire().await?;
    let now = app.clock.now();
    match command {
        TokenCommand::Create { environment, name, role } => {
            let kind =
                EnvironmentKind::parse(&environment).expect("the parser takes only known environments");
            let role = Role::parse(&role).expect("the parser takes only known roles");
            if name.trim().is_empty() {
                return Err(CommandError::Refused("--name must not be empty".to_owned()));
            }
            let environment = find_environment(&mut db, kind).await?;
            println!("{}", access::create(&mut db, &app.ids, environment.id, name.trim(), role, now).await?);
        }
        TokenCommand::List => {
            for token in access::list(&mut db).await? {
                let state =
                    token.archived_at.map_or_else(|| "in use".to_owned(), |at| format!("archived {at}"));
                let (id, kind, role) = (token.id, token.environment_kind.to_lowercase(), token.role.as_str());
                println!("{id}  {kind}  {role}  {}…  {}  {state}", token.secret_prefix, token.name);
            }
        }
        TokenCommand::Archive { id } => {
            if !access::archive(&mut db, id, now).await? {
                return Err(CommandError::Refused(format!("no token in use has the id {id}")));
            }
            println!("{id} is archived.");
        }
    }
    Ok(())
}
