/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts page.html into the program as it stands. The assembler looks for it where headers are looked for.
 */
#include "admin/page.h"

__asm__(".pushsection .rodata\n"
        "page_text: .incbin \"admin/page.html\"\n"
        "page_text_end: .balign 8\n"
        "page_text_size: .quad page_text_end - page_text\n"
        ".popsection\n");

extern const char page_text[];
extern const uint64_t page_text_size;

struct slice page_html(void)
{
    return slice_make(page_text, page_text_size);
}
