//! An entry of the flow table, which several CPUs write to at once.

use redirector_common::{
    abi::{Flow, L2Path},
    tables::FlowEntry,
};

/// An entry of [`crate::tables::FLOWS`]. The map is preallocated and its elements are never freed while a program
/// runs; one that the controller deletes meanwhile is written to in vain.
pub(crate) struct Entry(pub(crate) *mut Flow);

/// Writes one field and none beside it: another CPU may be writing those.
macro_rules! set {
    ($entry:expr, $field:ident, $value:expr) => {{
        // SAFETY: the look-up has just returned the pointer, to a whole record aligned to eight octets.
        let field = unsafe { &raw mut (*$entry.0).$field };
        // SAFETY: the same; the field is plain octets, and no reference to it exists anywhere.
        unsafe { field.write($value) };
    }};
}

impl FlowEntry for Entry {
    #[inline(always)]
    fn flow(&self) -> Flow {
        // SAFETY: the look-up has just returned the pointer, to a whole record aligned to eight octets.
        // Another CPU may write at the same time; any mixture of fields is a valid record.
        unsafe { self.0.read() }
    }

    #[inline(always)]
    fn mark_customer(&self, from_customer: u8, now_s: u32) {
        set!(self, from_customer, from_customer);
        set!(self, last_seen_s, now_s);
    }

    #[inline(always)]
    fn mark_relay(&self, from_relay: u8, now_s: u32) {
        set!(self, from_relay, from_relay);
        set!(self, last_seen_s, now_s);
    }

    #[inline(always)]
    fn move_customer(&self, path: &L2Path) {
        set!(self, customer_path, *path);
    }

    #[inline(always)]
    fn reopen(&self, from_customer: u8, flag_id: u32, relay: u16, now_s: u32) {
        set!(self, from_relay, 0);
        set!(self, flag_id, flag_id);
        set!(self, relay, relay);
        set!(self, created_s, now_s);
        self.mark_customer(from_customer, now_s);
    }
}
