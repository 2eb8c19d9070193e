/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive, doubly linked, circular list. A node that is in no list points to itself, so that removing it
 * twice is harmless and `list_is_linked` can be asked.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

#include "base/check.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_is_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves all of `from` to the end of `to`. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_ENTRY(node, type, member) container_of(node, type, member)
#define LIST_FIRST(head, type, member) LIST_ENTRY((head)->next, type, member)

/* The body may remove `item`; it must not remove the one after it. */
#define LIST_FOR_EACH_SAFE(item, following, head, member)                 \
    for (item = LIST_FIRST(head, __typeof__(*item), member),              \
        following = LIST_FIRST(&item->member, __typeof__(*item), member); \
         &item->member != (head);                                         \
         item = following, following = LIST_FIRST(&item->member, __typeof__(*item), member))

#define LIST_FOR_EACH(item, head, member)                                             \
    for (item = LIST_FIRST(head, __typeof__(*item), member); &item->member != (head); \
         item = LIST_FIRST(&item->member, __typeof__(*item), member))

#endif
