//! How records and numbered enums are declared, so that each is written down once.

/// Declares records: `repr(C)` structs of integers and octet arrays without implicit padding, with
/// their octets in field order.
macro_rules! records {
    ($( $(#[$meta:meta])* pub struct $name:ident [$size:literal] { $( $(#[$fmeta:meta])* $field:ident : $ty:ty ),* $(,)? } )*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
        pub struct $name { $( $(#[$fmeta])* pub $field: $ty ),* }

        // No implicit padding: the fields fill the record.
        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!(0 $( + size_of::<$ty>() )* == $size);

        impl $name {
            /// Octets of one record.
            pub const SIZE: usize = $size;

            /// The record as it stands in the map.
            #[must_use]
            pub fn to_octets(&self) -> [u8; $size] {
                let mut octets = [0; $size];
                let mut rest = &mut octets[..];
                $( rest = Octets::put(&self.$field, rest); )*
                let _end = rest;
                octets
            }

            /// Reads what stands in the map.
            #[must_use]
            pub fn from_octets(octets: &[u8; $size]) -> Self {
                let mut rest = &octets[..];
                Self { $( $field: <$ty as Octets>::take(&mut rest) ),* }
            }
        }

        impl Octets for $name {
            fn put<'a>(&self, into: &'a mut [u8]) -> &'a mut [u8] {
                $crate::abi::declare::put_octets(self.to_octets(), into)
            }

            fn take(from: &mut &[u8]) -> Self {
                Self::from_octets(&$crate::abi::declare::take_octets(from))
            }
        }
    )*};
}

/// Numbered enums: the number stands in the maps, the name in messages.
macro_rules! numbered {
    ($( $(#[$meta:meta])* pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $number:literal $text:literal ),* $(,)? } )*) => {$(
        $(#[$meta])*
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$vmeta])* $variant = $number ),* }

        impl $name {
            /// Every variant.
            pub const ALL: &[Self] = &[$( Self::$variant ),*];

            /// The variant of a number out of a map.
            #[inline(always)]
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )* _ => None }
            }

            /// The name that people read and write.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $text ),* }
            }
        }
    )*};
}

/// A value with a fixed number of octets.
pub(super) trait Octets: Sized {
    fn put<'a>(&self, into: &'a mut [u8]) -> &'a mut [u8];
    fn take(from: &mut &[u8]) -> Self;
}

pub(super) fn put_octets<const N: usize>(octets: [u8; N], into: &mut [u8]) -> &mut [u8] {
    match into.split_first_chunk_mut::<N>() {
        Some((head, rest)) => {
            *head = octets;
            rest
        }
        None => &mut [],
    }
}

pub(super) fn take_octets<const N: usize>(from: &mut &[u8]) -> [u8; N] {
    match from.split_first_chunk::<N>() {
        Some((head, rest)) => {
            *from = rest;
            *head
        }
        None => [0; N],
    }
}

macro_rules! octets_of_integers {
    ($($ty:ty),*) => {$(
        impl Octets for $ty {
            fn put<'a>(&self, into: &'a mut [u8]) -> &'a mut [u8] { put_octets(self.to_ne_bytes(), into) }
            fn take(from: &mut &[u8]) -> Self { Self::from_ne_bytes(take_octets(from)) }
        }
    )*};
}
octets_of_integers!(u8, u16, u32, u64);

impl<T: Octets + Copy + Default, const N: usize> Octets for [T; N] {
    fn put<'a>(&self, into: &'a mut [u8]) -> &'a mut [u8] {
        self.iter().fold(into, |rest, item| item.put(rest))
    }

    fn take(from: &mut &[u8]) -> Self {
        core::array::from_fn(|_| T::take(from))
    }
}
