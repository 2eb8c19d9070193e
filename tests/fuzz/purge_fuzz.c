/* SPDX-License-Identifier: Apache-2.0 */
/* Tags of a response, whatever the origin makes of these fields, are the same whether viewers see them or
 * not, and a purge by any of them finds the response; what a purge call says becomes orders within bounds, or
 * an error with a word. */
#include "admin/purge_order.h"
#include "base/check.h"
#include "cache/purge_rules.h"
#include "cache/purge_tags.h"
#include "reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct site_table *sites(void)
{
    static const struct site_table *table;
    const struct config *config;
    struct buf errors;
    if (table)
        return table;
    buf_init(&errors, 4096);
    REQUIRE(config_parse("fuzz.yaml",
                         slice_of("edge: fuzz\nlisten: [{address: 127.0.0.1:1}]\n"
                                  "sites: [{name: demo, hosts: [a.test], origin: 'http://b.test'}]\n"),
                         &errors, &config) == 0);
    table = site_table_new(config, "marker");
    REQUIRE(table);
    buf_fini(&errors);
    return table;
}

static size_t read_tags(struct slice head, uint64_t *ret_sum)
{
    struct purge_tags tags;
    struct slice tag;
    size_t count = 0;
    *ret_sum = 0;
    purge_tags_init(&tags, head);
    for (; purge_tags_next(&tags, &tag); count++)
        *ret_sum += hash_sum(tag.data, tag.size) | 1; /* in any order */
    return count;
}

static void check_purge_of(struct slice tag, struct slice head)
{
    struct purge_rules *rules = purge_rules_new(16);
    struct purge_order order = {.kind = PURGE_TAG, .site = slice_of("demo"), .text = tag};
    struct purge_subject subject = {slice_of("demo/a"), head, 1};
    struct purge_rule rule;
    REQUIRE(rules);
    purge_rules_make(rules, &order, 2, 0, &rule);
    purge_rules_put(rules, &rule);
    REQUIRE(purge_rules_judge(rules, &subject, NULL) == PURGE_HARD);
    purge_rules_free(rules);
}

/* The input as it could stand in one field: a parser lets nothing else through. */
static void check_tags(struct slice input, const char *name)
{
    enum config_tag_header all[] = {TAG_SURROGATE_KEY, TAG_CACHE_TAG, TAG_CACHE_GROUPS};
    const struct config_site shown = {.tag_headers = all, .tag_header_count = ARRAY_COUNT(all)}, hidden = {0};
    static struct http_head response;
    struct purge_tags tags;
    struct slice tag;
    struct buf a, b, c;
    uint64_t sum_a, sum_b, sum_c;
    for (size_t i = 0; i < input.size; i++)
        if (((unsigned char)input.data[i] < 0x20 && input.data[i] != '\t') || input.data[i] == 0x7f)
            return;
    response = (struct http_head){.status = 200, .field_count = 1};
    response.fields[0] = (struct http_field){slice_of(name), slice_trim(input)};
    buf_init(&a, 4 * REPLY_HEAD_MAX);
    buf_init(&b, 4 * REPLY_HEAD_MAX);
    buf_init(&c, 4 * REPLY_HEAD_MAX);
    if (reply_store_head(&response, 200, &shown, 0, &a) && reply_store_head(&response, 200, &hidden, 0, &b)) {
        reply_store_tags(buf_slice(&b), &c);
        size_t count = read_tags(buf_slice(&a), &sum_a);
        REQUIRE(count <= input.size);
        REQUIRE(read_tags(buf_slice(&b), &sum_b) == count && sum_a == sum_b);
        REQUIRE(read_tags(buf_slice(&c), &sum_c) == count && sum_a == sum_c);
        purge_tags_init(&tags, buf_slice(&a));
        if (purge_tags_next(&tags, &tag))
            check_purge_of(tag, buf_slice(&b));
    }
    buf_fini(&a);
    buf_fini(&b);
    buf_fini(&c);
}

static void check_call(struct slice input)
{
    static struct purge_orders orders;
    if (purge_orders_read(sites(), input, &orders)) {
        REQUIRE(orders.count > 0 && orders.count <= PURGE_ORDERS_MAX);
        for (size_t i = 0; i < orders.count; i++) {
            const struct purge_order *o = &orders.orders[i];
            bool has_key = o->kind == PURGE_URL || o->kind == PURGE_PREFIX;
            REQUIRE(slice_equal(o->site, slice_of("demo")));
            REQUIRE(!has_key || slice_starts_with(o->text, slice_of("demo/")));
            REQUIRE(o->kind == PURGE_URL || o->text.size <= PURGE_TEXT_MAX);
        }
    } else {
        REQUIRE(orders.error && orders.detail[0] && orders.status >= 400);
    }
    purge_orders_fini(&orders);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    check_tags(input, "Surrogate-Key");
    check_tags(input, "Cache-Tag");
    check_tags(input, "Cache-Groups");
    check_call(input);
    return 0;
}
