//! A fresh database for each test: a clone of one migrated template.

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use upbeat::id::Ids;
use upbeat::postgres::MIGRATIONS;
use upbeat::time::SystemClock;
use uuid::Uuid;

/// Any number that other advisory locks do not use.
const TEMPLATE_LOCK: i64 = 0x7465_6d70;

/// A pool on a new, migrated, empty database.
pub async fn fresh() -> PgPool {
    let url = std::env::var("UPBEAT_TEST_DATABASE_URL")
        .expect("UPBEAT_TEST_DATABASE_URL names a PostgreSQL; run the tests with `make test` or tests/with-postgres.sh");
    let options: PgConnectOptions = url.parse().expect("UPBEAT_TEST_DATABASE_URL is a PostgreSQL address");
    let mut server = PgConnection::connect_with(&options).await.expect("the test PostgreSQL answers");
    let template = template(&mut server, &options).await;
    let name = format!("test_{}", Ids::new(Arc::new(SystemClock)).next::<Uuid>().simple());
    let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
    server.execute(AssertSqlSafe(create)).await.expect("a clone of the template");
    upbeat::postgres::connect(options.database(&name)).await.expect("a pool on the clone")
}

/// The migrated template of these migrations; the first test that needs it makes it.
async fn template(server: &mut PgConnection, options: &PgConnectOptions) -> String {
    let checksums: Vec<u8> =
        MIGRATIONS.iter().flat_map(|migration| migration.checksum.iter().copied()).collect();
    let name = format!("template_{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, &checksums).simple());
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *server)
        .await
        .expect("the lock");
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut *server)
        .await
        .expect("the list of databases");
    if !exists {
        let draft = format!("{name}_draft");
        let drop = format!("DROP DATABASE IF EXISTS {draft}");
        server.execute(AssertSqlSafe(drop)).await.expect("no draft");
        server.execute(AssertSqlSafe(format!("CREATE DATABASE {draft}"))).await.expect("a draft");
        let mut template =
            PgConnection::connect_with(&options.clone().database(&draft)).await.expect("the draft");
        MIGRATIONS.run(&mut template).await.expect("the migrations apply");
        template.close().await.expect("the draft is closed");
        let rename = format!("ALTER DATABASE {draft} RENAME TO {name}");
        server.execute(AssertSqlSafe(rename)).await.expect("the template");
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *server)
        .await
        .expect("the lock");
    name
}
