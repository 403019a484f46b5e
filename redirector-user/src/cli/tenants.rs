//! `outgate customer`, `assign`, `unassign` and `who`.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    import::{self, FileArgs},
    tables::{self, Style},
};
use crate::{
    api::view::{
        AssignRequest, AssignedView, AssignmentView, CustomerHistoryView, CustomerRequest,
        CustomerView, WhoView,
    },
    client::{Client, escaped, with_query},
};

#[derive(Debug, Subcommand)]
pub(super) enum CustomerCommand {
    /// Name a customer by your own key
    #[command(
        after_help = "Examples:\n  outgate customer add C-1042 --name \"Example Ltd\" --contact abuse@customer.example\n  outgate assign 192.0.2.64/28 C-1042"
    )]
    Add(CustomerArgs),
    /// Change a customer's name or contact; an empty text takes it away
    #[command(
        after_help = "Example:\n  outgate customer set C-1042 --contact postmaster@customer.example"
    )]
    Set(CustomerArgs),
    /// Show a customer and what it has
    Show {
        /// Your key
        id: String,
    },
    /// List customers by key
    Ls {
        /// At most so many
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: u32,
        /// Only those after the customer of this key
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        after: String,
    },
    /// Remove a customer that has nothing, with its name and contact; what it had stays known by its key
    #[command(after_help = "Example:\n  outgate customer rm C-1042")]
    Rm {
        /// Your key
        id: String,
        /// Who removes it [default: you]
        #[arg(long)]
        actor: Option<String>,
    },
    /// Show what a customer has and had, and its flags; also of one that is removed
    #[command(after_help = "Example:\n  outgate customer history C-1042")]
    History {
        /// Your key
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CustomerArgs {
    /// Your key: 1 to 64 letters, digits, '.', '_', '-', ':' or '@'
    id: String,
    /// Its name
    #[arg(long)]
    name: Option<String>,
    /// Its address for mail
    #[arg(long, value_name = "ADDRESS")]
    contact: Option<String>,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct AssignArgs {
    #[command(subcommand)]
    command: Option<AssignCommand>,
    /// Address or prefix; one IPv6 address stands for its /64 unless --exact
    #[arg(required = true)]
    prefix: Option<String>,
    /// Whose it is; `outgate customer add` names one
    #[arg(required = true)]
    customer: Option<String>,
    /// Since when, as 2026-03-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Subcommand)]
enum AssignCommand {
    /// Assign all that a file names, at once or not at all
    #[command(after_help = IMPORT_HELP)]
    Import(FileArgs),
    /// List assignments of the moment, by prefix
    Ls {
        /// Only this customer's
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: u32,
        /// Only those after this prefix
        #[arg(long, value_name = "PREFIX")]
        after: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct UnassignArgs {
    /// Address or prefix, as it was assigned
    prefix: String,
    /// When it ended, as 2026-03-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct WhoArgs {
    /// Address or prefix
    target: String,
    /// When, as 2026-03-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

pub(super) async fn customer(
    client: &Client,
    teller: &Teller,
    command: CustomerCommand,
) -> Result<Outcome, CliError> {
    match command {
        CustomerCommand::Add(arguments) => set(client, teller, arguments, "new").await,
        CustomerCommand::Set(arguments) => set(client, teller, arguments, "known").await,
        CustomerCommand::Show { id } => {
            let view: CustomerView = client.get(&path(&id)).await?;
            teller.tell(&view, customer_table)
        }
        CustomerCommand::Ls { limit, after } => {
            let limit = limit.to_string();
            let path = with_query("/v1/customers", &[("limit", &limit), ("after", &after)]);
            let customers: Vec<CustomerView> = client.get(&path).await?;
            teller.tell(&customers, |customers, style| list(customers, style))
        }
        CustomerCommand::Rm { id, actor } => {
            let path = with_query(&path(&id), &[("actor", &whoever(actor))]);
            let view: CustomerView = client.delete(&path).await?;
            teller.tell(&view, |view, _| format!("customer {} removed", view.id))
        }
        CustomerCommand::History { id } => {
            let path = format!("{}/history", path(&id));
            let view: CustomerHistoryView = client.get(&path).await?;
            teller.tell(&view, |view, style| {
                let had = assignments(&view.assignments, style);
                match view.flags.is_empty() {
                    true => format!("{had}\n\nno flag was made for it"),
                    false => format!("{had}\n\n{}", tables::flags(&view.flags, style)),
                }
            })
        }
    }
}

pub(super) async fn assign(
    client: &Client,
    teller: &Teller,
    arguments: AssignArgs,
) -> Result<Outcome, CliError> {
    match arguments.command {
        Some(AssignCommand::Import(file)) => {
            return import::run(client, teller, "/v1/assignments/import", file).await;
        }
        Some(AssignCommand::Ls {
            customer,
            limit,
            after,
        }) => {
            let limit = limit.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(customer.as_deref().map(|customer| ("customer", customer)));
            query.extend(after.as_deref().map(|after| ("after", after)));
            let path = with_query("/v1/assignments", &query);
            let list: Vec<AssignmentView> = client.get(&path).await?;
            return teller.tell(&list, |list, style| assignments(list, style));
        }
        None => {}
    }
    let request = AssignRequest {
        customer: arguments.customer.unwrap_or_default(),
        from: arguments.from,
        exact: arguments.exact,
        actor: whoever(arguments.actor),
    };
    let target = arguments.prefix.unwrap_or_default();
    let path = format!("/v1/assignments/{}", escaped(&target));
    let view: AssignedView = client.put(&path, &request).await?;
    teller.tell(&view, |view, _| {
        let AssignmentView {
            prefix, customer, ..
        } = &view.assignment;
        match view.changed {
            true => format!("{prefix} is {customer}'s{}", consequences(view)),
            false => format!("{prefix} is {customer}'s already; nothing was changed"),
        }
    })
}

pub(super) async fn unassign(
    client: &Client,
    teller: &Teller,
    arguments: UnassignArgs,
) -> Result<Outcome, CliError> {
    let exact = if arguments.exact { "true" } else { "false" };
    let actor = whoever(arguments.actor);
    let at = arguments.at.map(|at| at.to_string());
    let mut query = vec![("exact", exact), ("actor", &actor)];
    query.extend(at.as_deref().map(|at| ("at", at)));
    let path = format!("/v1/assignments/{}", escaped(&arguments.prefix));
    let view: AssignedView = client.delete(&with_query(&path, &query)).await?;
    teller.tell(&view, |view, _| {
        let AssignmentView {
            prefix, customer, ..
        } = &view.assignment;
        format!(
            "{prefix} is not {customer}'s any more{}",
            consequences(view)
        )
    })
}

pub(super) async fn who(
    client: &Client,
    teller: &Teller,
    arguments: WhoArgs,
) -> Result<Outcome, CliError> {
    let at = arguments.at.map(|at| at.to_string());
    let mut query = vec![("target", arguments.target.as_str())];
    query.extend(at.as_deref().map(|at| ("at", at)));
    let view: WhoView = client.get(&with_query("/v1/who", &query)).await?;
    teller.tell(&view, |view, style| {
        let mut table = style.table(&["WHO", view.assignment.customer.as_str()]);
        let mut row = |name: &str, value: String| {
            table.add_row([name, &value]);
        };
        if let Some(customer) = &view.customer {
            row("name", customer.name.clone().unwrap_or_default());
            row("contact", customer.contact.clone().unwrap_or_default());
        } else {
            row("name", String::from("removed"));
        }
        row("prefix", view.assignment.prefix.to_string());
        row("from", style.time(view.assignment.from));
        let to = view.assignment.to.map(|to| style.time(to));
        row("to", to.unwrap_or_else(|| String::from("still")));
        match view.flags.is_empty() {
            true => format!("{table}\n\nno flag around it then"),
            false => format!("{table}\n\n{}", tables::flags(&view.flags, style)),
        }
    })
}

async fn set(
    client: &Client,
    teller: &Teller,
    arguments: CustomerArgs,
    only: &str,
) -> Result<Outcome, CliError> {
    let request = CustomerRequest {
        name: arguments.name,
        contact: arguments.contact,
        actor: whoever(arguments.actor),
    };
    let path = with_query(&path(&arguments.id), &[("only", only)]);
    let view: CustomerView = client.put(&path, &request).await?;
    teller.tell(&view, customer_table)
}

fn path(id: &str) -> String {
    format!("/v1/customers/{}", escaped(id))
}

fn consequences(view: &AssignedView) -> String {
    let was = match &view.was {
        Some(was) => format!("; it was {was}'s"),
        None => String::from("; it was nobody's"),
    };
    match view.ended_flags {
        0 => was,
        1 => format!("{was}, and 1 flag has ended with that"),
        flags => format!("{was}, and {flags} flags have ended with that"),
    }
}

fn customer_table(view: &CustomerView, style: Style) -> String {
    let mut table = style.table(&["CUSTOMER", view.id.as_str()]);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| String::from("none"));
    for (name, value) in [
        ("name", text(&view.name)),
        ("contact", text(&view.contact)),
        ("origin", text(&view.origin)),
        ("since", style.time(view.created_at)),
        ("changed", style.time(view.changed_at)),
        ("in the trail", view.subject.clone()),
    ] {
        table.add_row([name, &value]);
    }
    format!("{table}\n\n{}", assignments(&view.assignments, style))
}

fn list(customers: &[CustomerView], style: Style) -> String {
    if customers.is_empty() {
        return String::from("no customer here; `outgate customer add` names one");
    }
    let mut table = style.table(&["CUSTOMER", "NAME", "CONTACT", "ORIGIN", "CHANGED"]);
    for customer in customers {
        table.add_row([
            customer.id.as_str(),
            customer.name.as_deref().unwrap_or_default(),
            customer.contact.as_deref().unwrap_or_default(),
            customer.origin.as_deref().unwrap_or_default(),
            &style.time(customer.changed_at),
        ]);
    }
    table.to_string()
}

fn assignments(assignments: &[AssignmentView], style: Style) -> String {
    if assignments.is_empty() {
        return String::from("nothing is assigned; `outgate assign` says whose a prefix is");
    }
    let mut table = style.table(&["PREFIX", "CUSTOMER", "FROM", "TO", "ORIGIN"]);
    for it in assignments {
        table.add_row([
            &it.prefix.to_string(),
            it.customer.as_str(),
            &style.time(it.from),
            &it.to
                .map_or_else(|| String::from("still"), |to| style.time(to)),
            it.origin.as_deref().unwrap_or_default(),
        ]);
    }
    table.to_string()
}

pub(super) const ASSIGN_HELP: &str = "Examples:
  outgate assign 192.0.2.64/28 C-1042
  outgate assign 2001:db8:a:a::/64 C-1042 --from 2026-03-01T12:00:00Z
  outgate assign import netbox.json --origin netbox --diff

When a prefix becomes another customer's, the flags that were made for the one before and lie in it end by themselves,
and rules count anew. A flag on a wider prefix stays: it is about others, too.";

pub(super) const WHO_HELP: &str = "Examples:
  outgate who 192.0.2.70
  outgate who 2001:db8:a:a::10 --at 2026-03-01T12:00:00Z

The most specific assignment around the address at that time. Exit 2 if it was nobody's, as far as is known.";

const IMPORT_HELP: &str = "Examples:
  outgate assign import ipam.csv --origin ipam --diff
  outgate assign import netbox.json --origin netbox --prune
  billing-export | outgate assign import - --origin billing

CSV, whose first line names the columns, or a JSON array of objects with the same names: prefix and customer must be there;
name and contact say more of the customer, exact is yes where one IPv6 address means itself. What NetBox exports of
/api/ipam/prefixes/ and /api/ipam/ip-addresses/ (all of it, with ?limit=0) is read, too: the tenant's slug is the customer;
what has no tenant, is not in use or is outside of customer_prefixes is skipped and counted. Customers that are not there
yet are made.

What it touches, and what keeps it from changing too much, is the same as with `outgate flag import --help`.";
