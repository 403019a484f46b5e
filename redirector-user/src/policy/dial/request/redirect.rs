//! What a request says of a redirect, and what a pool can do of that.

use contract::{Delivery, Egress, LimitsName, Tier, Treatment};

use redirector_common::abi::Via;

use super::super::{Redirect, Refusal};
use super::{FlagRequest, PoolTerms};

pub(super) fn read(request: &FlagRequest, pools: &[PoolTerms]) -> Result<Redirect, Refusal> {
    let pool = match &request.pool {
        Some(asked) => pools
            .iter()
            .find(|pool| pool.name == *asked)
            .ok_or_else(|| {
                let known = names(pools, |_| true);
                Refusal::Usage(format!("pool {asked}: unknown; configured are: {known}"))
            })?,
        None => pools.first().ok_or_else(|| {
            Refusal::Usage(String::from(
                "no pool is configured, so nothing can be redirected; add a [[pool]]",
            ))
        })?,
    };
    let treatment = match request.treatment.as_deref() {
        None => Treatment::default(),
        Some(name) => Treatment::from_name(name).ok_or_else(|| {
            let allowed = Treatment::ALL.map(Treatment::name).join(", ");
            Refusal::Usage(format!("treatment {name}: unknown; allowed are {allowed}"))
        })?,
    };
    if pool.third_party && treatment != Treatment::default() {
        return Err(Refusal::Usage(format!(
            "treatment {}: pool {} is a third party's, which does what it does; leave the treatment out",
            treatment.name(),
            pool.name
        )));
    }
    if request.confirmed && pool.third_party {
        return Err(Refusal::Usage(format!(
            "confirmed: pool {} is a third party's, which does what it does; leave it out",
            pool.name
        )));
    }
    if request.confirmed && treatment == Treatment::Opaque {
        return Err(Refusal::Usage(String::from(
            "confirmed: treatment opaque splices every TLS session; leave out one of the two",
        )));
    }
    let egress = egress(request, pool, pools)?;
    Ok(Redirect {
        pool: pool.name.clone(),
        treatment,
        egress,
        delivery: read_delivery(request, pool, treatment)?,
        tier: read_tier(request, pool)?,
        limits: read_limits(request, pool)?,
        confirmed: request.confirmed,
    })
}

fn egress(request: &FlagRequest, pool: &PoolTerms, pools: &[PoolTerms]) -> Result<Egress, Refusal> {
    let Some(word) = request.egress.as_deref() else {
        return Ok(Egress::default());
    };
    match Egress::from_name(word) {
        Some(known) if known.lends_address() && pool.via != Via::Steer => {
            Err(no_such_egress(known, pool, pools))
        }
        Some(Egress::Socks5) if pool.third_party => Err(Refusal::Usage(format!(
            "egress socks5: pool {} is a third party's, which does what it does; leave the egress out",
            pool.name
        ))),
        Some(known) => Ok(known),
        None => Err(Refusal::Usage(format!(
            "egress {word}: unknown; allowed are {}",
            Egress::ALL.map(Egress::name).join(", ")
        ))),
    }
}

/// A relay's queue is for mail that may leave: a walled customer has none, and a third party's relay knows of no
/// queue of ours.
fn read_delivery(
    request: &FlagRequest,
    pool: &PoolTerms,
    treatment: Treatment,
) -> Result<Delivery, Refusal> {
    let delivery = match request.delivery.as_deref() {
        None => return Ok(Delivery::default()),
        Some(name) => Delivery::from_name(name).ok_or_else(|| {
            let allowed = Delivery::ALL.map(Delivery::name).join(", ");
            Refusal::Usage(format!("delivery {name}: unknown; allowed are {allowed}"))
        })?,
    };
    if delivery == Delivery::default() {
        return Ok(delivery);
    }
    let name = delivery.name();
    if pool.third_party {
        return Err(Refusal::Usage(format!(
            "delivery {name}: pool {} is a third party's, which does what it does; leave the delivery out",
            pool.name
        )));
    }
    match treatment {
        Treatment::Filter | Treatment::Opaque => Ok(delivery),
        Treatment::Walled => Err(Refusal::Usage(format!(
            "delivery {name}: treatment walled delivers nothing that could be queued; leave out one of the two"
        ))),
    }
}

/// A third party's relay looks at what it wants.
fn read_tier(request: &FlagRequest, pool: &PoolTerms) -> Result<Option<Tier>, Refusal> {
    let Some(name) = request.tier.as_deref() else {
        return Ok(None);
    };
    let tier = Tier::from_name(name).ok_or_else(|| {
        let allowed = Tier::ALL.map(Tier::name).join(", ");
        Refusal::Usage(format!("tier {name}: unknown; allowed are {allowed}"))
    })?;
    if pool.third_party {
        return Err(Refusal::Usage(format!(
            "tier {name}: pool {} is a third party's, which looks at what it wants; leave the tier out",
            pool.name
        )));
    }
    Ok(Some(tier))
}

/// Which names there are stands in the relays' configurations, and relays of a pool may differ: one that has no such
/// limits says so itself.
fn read_limits(request: &FlagRequest, pool: &PoolTerms) -> Result<Option<LimitsName>, Refusal> {
    let Some(name) = request.limits.as_deref() else {
        return Ok(None);
    };
    let limits = name
        .parse()
        .map_err(|allowed| Refusal::Usage(format!("limits {name:?}: {allowed}")))?;
    if pool.third_party {
        return Err(Refusal::Usage(format!(
            "limits {name}: pool {} is a third party's, which has limits of its own; leave the limits out",
            pool.name
        )));
    }
    Ok(Some(limits))
}

/// Answers to a customer's address find a relay only where the edge steers.
fn no_such_egress(egress: Egress, pool: &PoolTerms, pools: &[PoolTerms]) -> Refusal {
    let steered = names(pools, |pool| pool.via == Via::Steer);
    let instead = match steered.as_str() {
        "" => String::from("configure a pool that is, and name it with --pool"),
        steered => format!("name one that is with --pool: {steered}"),
    };
    Refusal::Usage(format!(
        "egress {}: needs a pool that is via = \"steer\", and {} is via = \"{}\"; {instead}",
        egress.name(),
        pool.name,
        pool.via.name()
    ))
}

fn names(pools: &[PoolTerms], which: impl Fn(&PoolTerms) -> bool) -> String {
    let chosen = pools.iter().filter(|pool| which(pool));
    let names: Vec<&str> = chosen.map(|pool| pool.name.as_str()).collect();
    names.join(", ")
}
