//! From fields to bytes: one list of fields makes the structure, its encoding and its description.
//!
//! The daemon forbids `unsafe` and gets plain bytes, so each structure can be written and read field by field. The
//! same list feeds the C header and the layout tests; there is no second place where a layout is written down.

/// The length of the bytes does not fit the structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("structure of {expected} bytes given as {given}")]
pub struct WrongSize {
    /// Bytes the structure has.
    pub expected: usize,
    /// Bytes that were given.
    pub given: usize,
}

/// One field of a structure, as C sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldLayout {
    /// Name in Rust and C.
    pub name: &'static str,
    /// Type in C (`uint32_t`).
    pub c_type: &'static str,
    /// Number of elements where the field is an array.
    pub array: Option<usize>,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// The documentation, one line an element.
    pub doc: &'static [&'static str],
}

/// A structure, as C sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Name in C, without `struct`.
    pub c_name: &'static str,
    /// Bytes.
    pub size: usize,
    /// The fields in order; they leave no gap.
    pub fields: &'static [FieldLayout],
    /// The documentation, one line an element.
    pub doc: &'static [&'static str],
}

/// A structure of the control file: fixed size, no padding, no pointers, integers in host byte order.
pub trait Structure: Sized {
    /// What C sees.
    const LAYOUT: Layout;

    /// The bytes, [`Layout::size`] of them.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads the structure.
    ///
    /// # Errors
    ///
    /// [`WrongSize`] where `bytes` is not exactly [`Layout::size`] long. The values of the fields are not judged.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongSize>;
}

/// What may stand in a structure.
pub(crate) trait Field: Sized {
    const C_TYPE: &'static str;
    const ARRAY: Option<usize> = None;
    /// Appends the bytes.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes the bytes from the front; the caller has checked that they are there, so a missing one reads as zero.
    fn take(bytes: &mut &[u8]) -> Self;
}

macro_rules! integer_field {
    ($($ty:ty => $c:literal),* $(,)?) => {$(
        impl Field for $ty {
            const C_TYPE: &'static str = $c;
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_ne_bytes());
            }
            fn take(bytes: &mut &[u8]) -> Self {
                Self::from_ne_bytes(take_array(bytes))
            }
        }
    )*};
}
integer_field!(u8 => "uint8_t", u16 => "uint16_t", u32 => "uint32_t", u64 => "uint64_t", i32 => "int32_t");

impl<const N: usize> Field for [u8; N] {
    const C_TYPE: &'static str = "uint8_t";
    const ARRAY: Option<usize> = Some(N);
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(bytes: &mut &[u8]) -> Self {
        take_array(bytes)
    }
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    match bytes.split_first_chunk::<N>() {
        Some((head, tail)) => {
            *bytes = tail;
            *head
        }
        None => [0; N],
    }
}

/// Defines a `#[repr(C)]` structure without padding, its bytes and its [`Layout`].
///
/// `Debug` shows numbers and the length of byte arrays, never their contents: they may be commands.
macro_rules! structure {
    (
        $(#[doc = $doc:expr])*
        $name:ident = $c_name:literal {
            $( $(#[doc = $fdoc:expr])* $field:ident : $ty:ty ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[repr(C)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $fdoc])* pub $field: $ty ),*
        }

        // No implicit padding: the fields alone make the size.
        const _: () = assert!(size_of::<$name>() == 0 $( + size_of::<$ty>() )*);
        const _: () = assert!(size_of::<$name>() <= $crate::number::SIZE_MAX);

        impl $crate::layout::Structure for $name {
            const LAYOUT: $crate::layout::Layout = $crate::layout::Layout {
                c_name: $c_name,
                size: size_of::<$name>(),
                fields: &[ $( $crate::layout::FieldLayout {
                    name: stringify!($field),
                    c_type: <$ty as $crate::layout::Field>::C_TYPE,
                    array: <$ty as $crate::layout::Field>::ARRAY,
                    offset: core::mem::offset_of!($name, $field),
                    size: size_of::<$ty>(),
                    doc: &[ $( $fdoc ),* ],
                } ),* ],
                doc: &[ $( $doc ),* ],
            };

            fn to_bytes(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(size_of::<$name>());
                $( $crate::layout::Field::put(&self.$field, &mut out); )*
                out
            }

            fn from_bytes(bytes: &[u8]) -> Result<Self, $crate::layout::WrongSize> {
                if bytes.len() != size_of::<$name>() {
                    return Err($crate::layout::WrongSize { expected: size_of::<$name>(), given: bytes.len() });
                }
                let mut rest = bytes;
                Ok(Self { $( $field: <$ty as $crate::layout::Field>::take(&mut rest) ),* })
            }
        }

        impl Default for $name {
            /// All zero.
            fn default() -> Self {
                let mut rest: &[u8] = &[];
                Self { $( $field: <$ty as $crate::layout::Field>::take(&mut rest) ),* }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut out = f.debug_struct(stringify!($name));
                $( match <$ty as $crate::layout::Field>::ARRAY {
                    Some(n) => out.field(stringify!($field), &format_args!("[{n} bytes]")),
                    None => out.field(stringify!($field), &self.$field),
                }; )*
                out.finish()
            }
        }
    };
}
pub(crate) use structure;
