//! How a transfer has ended.

use std::fmt;

use crate::text::counted;

/// What a transfer has done on one host so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transferred {
    /// How many files were copied completely.
    pub files: u64,
    /// How many directories were created.
    pub directories: u64,
    /// How many symbolic links were created.
    pub links: u64,
    /// How many files were left alone because they are the same on both sides.
    pub skipped: u64,
    /// How many files and directories were deleted.
    pub deleted: u64,
    /// How many bytes were copied. Those of files that failed later are counted too.
    pub bytes: u64,
    /// How many bytes are to be copied, as far as that is known. Those of files that are skipped
    /// are not counted.
    pub total: u64,
    /// How many copies were compared by their checksums.
    pub verified: u64,
    /// How many targets were removed before their replacement was renamed, because the server
    /// cannot replace a file in one step (`posix-rename@openssh.com`). Between the two steps, there
    /// was no target.
    pub replaced_in_two_steps: u64,
}

/// The form for people, such as `3 files, 12045 bytes`.
impl fmt::Display for Transferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", counted(self.files, "file"), counted(self.bytes, "byte"))?;
        let others = [
            (self.directories, "directory created", "directories created"),
            (self.links, "link created", "links created"),
            (self.skipped, "already the same", "already the same"),
            (self.deleted, "deleted", "deleted"),
            (self.verified, "verified", "verified"),
        ];
        for (count, one, many) in others {
            if count > 0 {
                write!(f, ", {count} {}", if count == 1 { one } else { many })?;
            }
        }
        Ok(())
    }
}
