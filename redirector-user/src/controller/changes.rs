//! Changes that people ask for at the same time: judged one by one, stored together.
//!
//! A change is answered when it is on disk and the kernel has been told, and both cost the same for one change as for
//! a hundred. So whoever gets the one lock does what all have asked for who wait for it: they find their answer when
//! their turn comes. Nobody is kept waiting for others to come along.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use contract::Generation;
use ipnetwork::IpNetwork;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Controller, Problem, clock,
    flags::{NewFlag, note_added, note_ended, pool_terms},
    since,
    state::State,
};
use crate::{
    caller::{self, Caller},
    metrics::Change,
    policy::{
        condition::Condition,
        dial::{Ended, Flag, FlagId, FlagRequest, Proposal},
        rules::Conduct,
    },
    store::{StoreError, audit::Kind, flags::Added},
};

/// What somebody asks for.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// A flag; with what was seen of its customer before, for the trail, if it lets one out.
    Add(Box<FlagRequest>, Option<Value>),
    /// That a flag ends; who says so, why, and what must be so.
    Lift(FlagId, String, String, Condition),
}

/// Those who wait for the lock.
#[derive(Debug, Default)]
pub(super) struct Wishes(Mutex<VecDeque<Asked>>);

#[derive(Debug)]
struct Asked {
    wish: Wish,
    /// Who asks: another one may do it for him.
    caller: Option<Caller>,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<NewFlag, Problem>>;

/// A wish that may be fulfilled, and whose it is.
type OfCaller = (Granted, Option<Caller>);

/// A wish that may be fulfilled.
#[derive(Debug)]
enum Granted {
    Add(Box<Proposal>, Option<Value>),
    Lift(Box<Lift>),
}

#[derive(Debug)]
struct Lift {
    flag: Flag,
    ended: Ended,
    conduct: Option<(IpNetwork, Conduct)>,
}

impl Wishes {
    fn put(&self, wish: Wish) -> oneshot::Receiver<Result<NewFlag, Problem>> {
        let (answer, answered) = oneshot::channel();
        let caller = caller::current();
        self.queue().push_back(Asked {
            wish,
            caller,
            answer,
        });
        answered
    }

    /// The oldest ones.
    fn take(&self) -> VecDeque<Asked> {
        let mut queue = self.queue();
        let most = queue.len().min(TOGETHER_MAX);
        let later = queue.split_off(most);
        std::mem::replace(&mut *queue, later)
    }

    /// Back to where they were: ahead of all others.
    fn put_back(&self, mut asked: VecDeque<Asked>) {
        let mut queue = self.queue();
        asked.append(&mut queue);
        *queue = asked;
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Asked>> {
        // A queue that somebody panicked over is still a queue.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller {
    /// Does what is asked for, together with what others ask for meanwhile; answers with the flag that it is about as it
    /// stood when that was stored and the kernel had been told.
    ///
    /// # Errors
    ///
    /// [`Problem`]; then nothing of this wish is stored.
    pub(super) async fn fulfil(&self, wish: Wish) -> Result<NewFlag, Problem> {
        let mut answered = self.wishes.put(wish);
        loop {
            tokio::select! {
                biased;
                // Whoever had taken it and does not answer was stopped half-way: outgated ends.
                answer = &mut answered => return answer.unwrap_or(Err(Problem::KernelGone)),
                mut state = self.lock() => self.fulfil_all(&mut state).await,
            }
        }
    }

    /// Does what is asked for by those who wait. What touches the same prefix as one before waits for the next round, so
    /// that each is judged by what all before it have done.
    async fn fulfil_all(&self, state: &mut State) {
        let mut waiting = self.wishes.take();
        let (mut granted, mut touched, mut more) = (Vec::new(), BTreeSet::new(), 0);
        while let Some(asked) = waiting.pop_front() {
            match self.judge_wish(state, &asked.wish, more).await {
                // Whoever has gone meanwhile does not hear it.
                Err(problem) => drop(asked.answer.send(Err(problem))),
                Ok(grant) if touched.contains(&grant.prefix()) => {
                    waiting.push_front(asked);
                    break;
                }
                Ok(grant) => {
                    touched.insert(grant.prefix());
                    more += grant.room(state);
                    granted.push(((grant, asked.caller), asked.answer));
                }
            }
        }
        self.wishes.put_back(waiting);
        self.settle(state, granted).await;
    }

    async fn judge_wish(
        &self,
        state: &State,
        wish: &Wish,
        more: usize,
    ) -> Result<Granted, Problem> {
        match wish {
            Wish::Add(request, prechecked) => {
                // Read under the lock, so that flags are as old as their order says.
                let proposal = Proposal::read(request, &pool_terms(&self.config), clock())?;
                self.admit(state, &proposal, more)?;
                Ok(Granted::Add(Box::new(proposal), prechecked.clone()))
            }
            Wish::Lift(id, actor, reason, condition) => {
                let flag = self.active_flag(state, *id).await?.clone();
                self.must_hold(condition, Some(*id)).await?;
                let ended = Ended {
                    at: clock(),
                    by: actor.clone(),
                    reason: reason.clone(),
                };
                let conduct = self.conduct_after(state, &flag, &ended);
                Ok(Granted::Lift(Box::new(Lift {
                    flag,
                    ended,
                    conduct,
                })))
            }
        }
    }

    /// Stores what is granted and puts it into force. If that cannot be stored together, each is tried by itself: the
    /// others are not to suffer for one.
    async fn settle(&self, state: &mut State, granted: Vec<(OfCaller, Answer)>) {
        if granted.is_empty() {
            return;
        }
        let stored = self.store_together(granted.iter().map(|(grant, _)| grant));
        let (stored, generation) = match stored.await {
            Ok(stored) => stored,
            // By an attempt whose answer was lost: what is left to do is the kernel's part.
            Err(StoreError::AlreadyEnded(_)) if granted.len() == 1 => {
                (Vec::new(), state.generation)
            }
            Err(error) => match <[_; 1]>::try_from(granted) {
                Ok([(_, answer)]) => return drop(answer.send(Err(error.into()))),
                Err(granted) => {
                    for one in granted {
                        Box::pin(self.settle(state, vec![one])).await;
                    }
                    return;
                }
            },
        };
        let mut stored = stored.into_iter();
        let (mut answers, mut diverted) = (Vec::new(), false);
        let mut lifted = Vec::new();
        for ((grant, _), answer) in granted {
            let flag = match grant {
                Granted::Add(..) => {
                    let Some(added) = stored.next() else {
                        continue;
                    };
                    let flag = added.flag.clone();
                    note_added(state, added);
                    flag
                }
                Granted::Lift(lift) => {
                    let Lift {
                        flag,
                        ended,
                        conduct,
                    } = *lift;
                    lifted.push(ended.at);
                    diverted |= note_ended(state, &flag, &ended, Kind::FlagLifted, conduct);
                    Flag {
                        ended: Some(Box::new(ended)),
                        ..flag
                    }
                }
            };
            answers.push((flag, answer));
        }
        match self.enforce(state, generation, diverted).await {
            Ok(()) => {
                let now = clock();
                let after = lifted.into_iter().map(|at| since(at, now));
                self.metrics().in_force(Change::Lift, after);
            }
            // It is stored, so it will come into force; saying that it was refused would be wrong.
            Err(error) => {
                tracing::error!(%error, "changes are stored, but the kernel does not have them yet");
            }
        }
        for (flag, answer) in answers {
            let flag = state.flags.get(&flag.id).cloned().unwrap_or(flag);
            drop(answer.send(Ok(NewFlag::of(state, flag))));
        }
    }

    /// Answers with what was added, in order.
    async fn store_together(
        &self,
        granted: impl Iterator<Item = &OfCaller> + Clone,
    ) -> Result<(Vec<Added>, Generation), StoreError> {
        let mut change = self.store.change().await?;
        let prefixes: Vec<IpNetwork> = granted.clone().filter_map(|(it, _)| it.added()).collect();
        change.look_at(&prefixes).await?;
        let mut stored = Vec::new();
        for (grant, caller) in granted {
            match grant {
                Granted::Add(terms, prechecked) => {
                    let added = async {
                        let added = change.add(terms, Kind::FlagAdded, &terms.actor).await?;
                        if let Some(seen) = prechecked {
                            let kind = Kind::Prechecked;
                            change.remark(&added.flag, kind, seen.clone()).await?;
                        }
                        Ok::<_, StoreError>(added)
                    };
                    stored.push(caller::on_behalf_of(caller.clone(), added).await?);
                }
                Granted::Lift(lift) => {
                    let Lift {
                        flag,
                        ended,
                        conduct,
                    } = &**lift;
                    let conduct = conduct.as_ref().map(|(customer, it)| (*customer, it));
                    let prefix = Some(flag.terms.prefix);
                    let lifted = change.end(flag.id, prefix, Kind::FlagLifted, ended, conduct);
                    caller::on_behalf_of(caller.clone(), lifted).await?;
                }
            }
        }
        Ok((stored, change.commit().await?))
    }
}

impl Granted {
    /// Whom a new flag is about.
    fn added(&self) -> Option<IpNetwork> {
        match self {
            Self::Add(proposal, _) => Some(proposal.prefix),
            Self::Lift(_) => None,
        }
    }

    fn prefix(&self) -> IpNetwork {
        match self {
            Self::Add(proposal, _) => proposal.prefix,
            Self::Lift(lift) => lift.flag.terms.prefix,
        }
    }

    /// How many more prefixes are flagged by it.
    fn room(&self, state: &State) -> usize {
        match self {
            Self::Add(proposal, _) => usize::from(state.flags.on(proposal.prefix).is_none()),
            Self::Lift(_) => 0,
        }
    }
}

/// Beyond that a group's last wish would wait long for its first.
pub(super) const TOGETHER_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn lift(id: u32) -> Wish {
        let (actor, reason) = (String::from("somebody"), String::from("done"));
        Wish::Lift(FlagId(id), actor, reason, Condition::Always)
    }

    fn ids(asked: &VecDeque<Asked>) -> Vec<u32> {
        let id = |asked: &Asked| match asked.wish {
            Wish::Lift(id, ..) => id.0,
            Wish::Add(..) => 0,
        };
        asked.iter().map(id).collect()
    }

    #[test]
    fn wishes_are_taken_in_order_and_put_back_ahead_of_later_ones() {
        let wishes = Wishes::default();
        let most = u32::try_from(TOGETHER_MAX).unwrap();
        let answers: Vec<_> = (1..=most + 2).map(|id| wishes.put(lift(id))).collect();
        let mut first = wishes.take();
        assert_eq!(ids(&first), (1..=most).collect::<Vec<_>>());
        first.drain(..first.len() - 2);
        let _later = wishes.put(lift(1000));
        wishes.put_back(first);
        assert_eq!(
            ids(&wishes.take()),
            [most - 1, most, most + 1, most + 2, 1000]
        );
        assert!(wishes.take().is_empty());
        drop(answers);
    }
}
