//! Kinds of rows of the trail.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A flag was stored.
    FlagAdded,
    /// A flag ended because another took its place.
    FlagReplaced,
    /// A flag was first in force in the kernel.
    FlagActivated,
    /// A flag was lifted by hand.
    FlagLifted,
    /// A flag ended by itself.
    FlagExpired,
    /// What relays learn from the configuration changed.
    ConfigurationPublished,
    /// The program was attached to an interface.
    InterfaceAttached,
    /// The program was taken off an interface.
    InterfaceDetached,
    /// A relay was taken out of rotation by hand.
    RelayDrained,
    /// A drained relay was let back.
    RelayResumed,
    /// A payload of the trail was erased.
    PayloadErased,
    /// Somebody may submit.
    UserAdded,
    /// A user has another password, other limits, or is disabled, or not any more.
    UserChanged,
    /// A user was removed.
    UserRemoved,
    /// A person's flag is back, after one that a rule had put into its place.
    FlagRestored,
    /// A flag may be wrong: something that was held under it was released.
    FlagOnProbation,
    /// Rules may do nothing until somebody says so.
    RulesFrozen,
    /// Rules may act again.
    RulesThawed,
    /// Another file of rules is in force.
    RulesLoaded,
    /// Somebody has released a message that a relay had kept.
    MessageReleased,
    /// Somebody has looked at what a relay has kept of a message.
    MessageViewed,
    /// Somebody says that a kept message is what it was taken for.
    MessageConfirmed,
    /// A flag's end, or its review, was moved.
    FlagExtended,
    /// A second person has agreed that a flag stands for ever.
    FlagApproved,
    /// A flag that was to stand for ever ends as any other.
    FlagRejected,
    /// The day has come on which somebody is to look at a flag that stands for ever.
    FlagReviewDue,
    /// Somebody asks that a customer cannot be flagged.
    ExemptionAsked,
    /// A second person has agreed to that.
    ExemptionApproved,
    /// An exemption was taken back.
    ExemptionLifted,
    /// An exemption ended by itself.
    ExemptionEnded,
    /// Nobody is redirected away from a destination any more.
    BypassAdded,
    /// A bypass was taken back.
    BypassLifted,
    /// A bypass ended by itself.
    BypassEnded,
    /// Somebody may use the API with a token.
    TokenAdded,
    /// A token is no good any more.
    TokenRemoved,
    /// Somebody has seen what is held about people: an export of the trail, or of a customer.
    Viewed,
    /// What is held about a customer was erased; how much of it, not what.
    Erased,
    /// A copy of the store was made.
    StoreBackedUp,
    /// A backup was put into the place of the store.
    StoreRestored,
    /// A customer was named.
    CustomerAdded,
    /// A customer has another name or contact.
    CustomerChanged,
    /// A customer was removed.
    CustomerRemoved,
    /// A prefix is a customer's.
    PrefixAssigned,
    /// A prefix is not a customer's any more.
    PrefixUnassigned,
    /// A flag ended because its prefix is another customer's.
    FlagReassigned,
    /// A file was taken that a guard would have refused.
    GuardOverridden,
    /// Somebody wants a webhook asked again.
    WebhookRetried,
    /// A customer was told of its flag.
    NoticeSent,
    /// A customer could not be told.
    NoticeLost,
    /// The oldest rows of a chain went, because their time was over.
    TrailPruned,
    /// What had been seen of a customer when port 25 was opened for it.
    Prechecked,
}

impl Kind {
    /// The name that stands in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlagAdded => "flag added",
            Self::FlagReplaced => "flag replaced",
            Self::FlagActivated => "flag activated",
            Self::FlagLifted => "flag lifted",
            Self::FlagExpired => "flag expired",
            Self::ConfigurationPublished => "configuration published",
            Self::InterfaceAttached => "interface attached",
            Self::InterfaceDetached => "interface detached",
            Self::RelayDrained => "relay drained",
            Self::RelayResumed => "relay resumed",
            Self::PayloadErased => "payload erased",
            Self::UserAdded => "user added",
            Self::UserChanged => "user changed",
            Self::UserRemoved => "user removed",
            Self::FlagRestored => "flag restored",
            Self::FlagOnProbation => "flag on probation",
            Self::RulesFrozen => "rules frozen",
            Self::RulesThawed => "rules thawed",
            Self::RulesLoaded => "rules loaded",
            Self::MessageReleased => "message released",
            Self::MessageViewed => "message viewed",
            Self::MessageConfirmed => "message confirmed",
            Self::FlagExtended => "flag extended",
            Self::FlagApproved => "flag approved",
            Self::FlagRejected => "flag rejected",
            Self::FlagReviewDue => "flag review due",
            Self::ExemptionAsked => "exemption asked",
            Self::ExemptionApproved => "exemption approved",
            Self::ExemptionLifted => "exemption lifted",
            Self::ExemptionEnded => "exemption ended",
            Self::BypassAdded => "bypass added",
            Self::BypassLifted => "bypass lifted",
            Self::BypassEnded => "bypass ended",
            Self::TokenAdded => "token added",
            Self::TokenRemoved => "token removed",
            Self::Viewed => "viewed",
            Self::Erased => "erased",
            Self::StoreBackedUp => "store backed up",
            Self::StoreRestored => "store restored",
            Self::CustomerAdded => "customer added",
            Self::CustomerChanged => "customer changed",
            Self::CustomerRemoved => "customer removed",
            Self::PrefixAssigned => "prefix assigned",
            Self::PrefixUnassigned => "prefix unassigned",
            Self::FlagReassigned => "flag reassigned",
            Self::GuardOverridden => "guard overridden",
            Self::WebhookRetried => "webhook retried",
            Self::NoticeSent => "notice sent",
            Self::NoticeLost => "notice lost",
            Self::TrailPruned => "trail pruned",
            Self::Prechecked => "prechecked",
        }
    }
}
