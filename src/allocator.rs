//! [`Allocator`]: the allocator of the binary.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// mimalloc, called without an alignment wherever every block has that alignment anyway.
///
/// The crate `mimalloc` passes each alignment on. Version 3 of mimalloc then takes its fast path only
/// if there is a page of the size class of the request; otherwise it allocates size and alignment
/// together, which for most sizes is the next class. So no page of the right class ever appears, and
/// half of the allocations of a request take the slow path, each time.
#[derive(Debug)]
pub struct Allocator;

/// The alignment of blocks of this size or more (`MI_MAX_ALIGN_SIZE` of mimalloc), as C requires of
/// `malloc`. Smaller blocks are aligned to their size.
const NATURAL: usize = 16;

/// Returns whether a block of `size` has the alignment `align` without asking for it.
#[inline]
const fn is_natural(size: usize, align: usize) -> bool {
    align <= NATURAL && align <= size
}

#[expect(unsafe_code, reason = "an allocator is always unsafe to implement")]
// SAFETY: every block is allocated, resized and freed by mimalloc alone, which keeps the contract for
// blocks of C: null, or at least `size` bytes that no other block overlaps, with their content kept
// when they are resized. The alignment is asked for, or natural: mimalloc has blocks of 8 bytes in pages
// that begin at a multiple of 8, and blocks of multiples of 16 in pages that begin at a multiple of 16
// (`mi_bin` and `mi_page_block_start`, to be read again at each update). Nothing here unwinds.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size and any power of two are permitted.
        let block = unsafe {
            match is_natural(size, align) {
                true => mi_malloc(size),
                false => mi_malloc_aligned(size, align),
            }
        };
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        let block = unsafe {
            match is_natural(size, align) {
                true => mi_zalloc(size),
                false => mi_zalloc_aligned(size, align),
            }
        };
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller passes a block of this allocator.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above. A block that stays in its place keeps the alignment that it has.
        let block = unsafe {
            match is_natural(size, layout.align()) {
                true => mi_realloc(block.cast(), size),
                false => mi_realloc_aligned(block.cast(), size, layout.align()),
            }
        };
        block.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of each size and alignment, several at once, so that they have different places in a page.
    #[test]
    #[expect(unsafe_code, reason = "calls the allocator itself")]
    fn every_block_has_its_alignment_and_keeps_its_content() {
        const AT_ONCE: usize = 3;
        for align in [1, 2, 4, 8, 16, 32, 64] {
            for size in (1..1_100).chain([4_095, 4_096, 5_000, 100_000, 5_000_000]) {
                let layout = Layout::from_size_align(size, align).unwrap();
                let grown = size + size / 2 + 1;
                // SAFETY: the layouts are not empty, and each block is used within its size.
                let blocks: Vec<*mut u8> = (0..AT_ONCE)
                    .map(|number| unsafe {
                        let block = Allocator.alloc(layout);
                        assert!(!block.is_null() && block.addr().is_multiple_of(align));
                        block.write_bytes(number as u8 + 1, size);
                        let zeroed = Allocator.alloc_zeroed(layout);
                        assert!(zeroed.addr().is_multiple_of(align));
                        assert_eq!((zeroed.read(), zeroed.add(size - 1).read()), (0, 0));
                        Allocator.dealloc(zeroed, layout);
                        block
                    })
                    .collect();
                for (number, block) in blocks.into_iter().enumerate() {
                    // SAFETY: as above.
                    unsafe {
                        let block = Allocator.realloc(block, layout, grown);
                        assert!(!block.is_null() && block.addr().is_multiple_of(align));
                        let kept = std::slice::from_raw_parts(block, size);
                        assert!(kept.iter().all(|byte| *byte == number as u8 + 1));
                        let layout = Layout::from_size_align(grown, align).unwrap();
                        Allocator.dealloc(block, layout);
                    }
                }
            }
        }
    }
}
