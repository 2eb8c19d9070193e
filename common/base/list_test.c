/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of base/list.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int value;
    struct list node;
};

static struct item *items_init(struct list *head, struct item *items, int count)
{
    list_init(head);
    for (int i = 0; i < count; i++) {
        items[i].value = i;
        list_init(&items[i].node);
        list_push_back(head, &items[i].node);
    }
    return items;
}

/* The values in order, as the digits of a number. */
static int digits(const struct list *head)
{
    struct item *item;
    int number = 0;

    LIST_FOR_EACH (item, (struct list *)head, node)
        number = number * 10 + item->value;
    return number;
}

static void test_order(void **state)
{
    struct item items[4], front = {.value = 9};
    struct list head;

    (void)state;
    items_init(&head, items, 4);
    assert_int_equal(digits(&head), 123);
    list_push_front(&head, &front.node);
    assert_int_equal(digits(&head), 90123);
    assert_ptr_equal(LIST_FIRST(&head, struct item, node), &front);
    list_remove(&items[2].node);
    assert_int_equal(digits(&head), 9013);
    list_insert_before(&items[1].node, &items[2].node);
    assert_int_equal(digits(&head), 90213);
}

static void test_removed_twice(void **state)
{
    struct item items[2];
    struct list head;

    (void)state;
    items_init(&head, items, 2);
    assert_true(list_is_linked(&items[0].node));
    list_remove(&items[0].node);
    assert_false(list_is_linked(&items[0].node));
    list_remove(&items[0].node);
    assert_int_equal(digits(&head), 1);
    list_remove(&items[1].node);
    assert_true(list_is_empty(&head));
}

static void test_remove_while_walking(void **state)
{
    struct item items[5], *item, *following;
    struct list head;

    (void)state;
    items_init(&head, items, 5);
    LIST_FOR_EACH_SAFE (item, following, &head, node)
        if (item->value % 2 == 0)
            list_remove(&item->node);
    assert_int_equal(digits(&head), 13);
}

static void test_splice(void **state)
{
    struct item left[3], right[3];
    struct list a, b;

    (void)state;
    items_init(&a, left, 3);
    items_init(&b, right, 3);
    list_splice_back(&a, &b);
    assert_int_equal(digits(&a), 12012);
    assert_true(list_is_empty(&b));
    list_splice_back(&a, &b);
    assert_int_equal(digits(&a), 12012);
    list_splice_back(&b, &a);
    assert_int_equal(digits(&b), 12012);
    assert_true(list_is_empty(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_removed_twice),
        cmocka_unit_test(test_remove_while_walking),
        cmocka_unit_test(test_splice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
