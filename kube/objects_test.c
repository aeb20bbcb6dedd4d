/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/objects.h"

#include <string.h>

#include "base/test.h"
#include "kube/coordination.h"

#define META \
    "\"metadata\":{\"name\":\"n\",\"generateName\":\"n-\",\"namespace\":\"lab\",\"uid\":\"u\",\"resourceVersion\":" \
    "\"7\"," \
    "\"generation\":9007199254740993,\"creationTimestamp\":\"2024-01-01T00:00:00Z\"," \
    "\"deletionTimestamp\":\"2024-01-01T01:00:00.5+01:00\",\"deletionGracePeriodSeconds\":0,\"labels\":{\"a\":\"1\"}," \
    "\"annotations\":{\"b\":\"2\"},\"finalizers\":[\"f\"],\"managedFields\":[{\"manager\":\"m\"}]," \
    "\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"pu\",\"controller\":true," \
    "\"blockOwnerDeletion\":true}]}"
#define CONDITIONS \
    "\"conditions\":[{\"type\":\"Pending\",\"status\":\"True\",\"reason\":\"NotAvailable\",\"message\":\"m\"," \
    "\"lastTransitionTime\":\"2024-01-01T00:00:00Z\",\"observedGeneration\":3},{\"type\":\"Ready\"}]"
#define NEW_YEAR (INT64_C(1704067200) * 1000000)

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);

    if (!json)
        fail_msg("%s: %s", error.text, text);
    return json;
}

static const char *at(const json_t *map, const char *key)
{
    return json_string_value(json_object_get(map, key));
}

static void assert_meta(const struct jmp_kube_meta *meta)
{
    assert_string_equal(meta->name, "n");
    assert_string_equal(meta->generate_name, "n-");
    assert_string_equal(meta->namespace_, "lab");
    assert_string_equal(meta->uid, "u");
    assert_string_equal(meta->resource_version, "7");
    assert_int_equal(meta->generation, INT64_C(9007199254740993));
    assert_string_equal(meta->created.text, "2024-01-01T00:00:00Z");
    assert_int_equal(meta->created.usec, NEW_YEAR);
    assert_int_equal(meta->deleted.usec, NEW_YEAR + 500000);
    assert_int_equal(meta->deletion_grace_period, 0);
    assert_string_equal(at(meta->labels, "a"), "1");
    assert_string_equal(at(meta->annotations, "b"), "2");
    assert_string_equal(json_string_value(json_array_get(meta->finalizers, 0)), "f");
    assert_string_equal(at(json_array_get(meta->managed_fields, 0), "manager"), "m");
    assert_int_equal(meta->n_owners, 1);
    assert_string_equal(meta->owners[0].api_version, "v1");
    assert_string_equal(meta->owners[0].kind, "Pod");
    assert_string_equal(meta->owners[0].name, "p");
    assert_string_equal(meta->owners[0].uid, "pu");
    assert_true(meta->owners[0].controller);
    assert_true(meta->owners[0].block_owner_deletion);
}

static void assert_conditions(const struct jmp_kube_condition *conditions, size_t count)
{
    assert_int_equal(count, 2);
    assert_string_equal(conditions[0].type, "Pending");
    assert_string_equal(conditions[0].status, "True");
    assert_string_equal(conditions[0].reason, "NotAvailable");
    assert_string_equal(conditions[0].message, "m");
    assert_int_equal(conditions[0].changed.usec, NEW_YEAR);
    assert_int_equal(conditions[0].observed_generation, 3);
    assert_string_equal(conditions[1].type, "Ready");
    assert_null(conditions[1].reason);
    assert_int_equal(conditions[1].changed.usec, JMP_KUBE_NO_TIME);
}

JMP_TEST(every_member_of_a_client_is_read)
{
    struct jmp_kube_client *client = NULL;
    json_t *json =
        parse("{\"apiVersion\":\"jumpstarter.dev/v1alpha1\",\"kind\":\"Client\"," META ","
              "\"spec\":{\"username\":\"dex:u\"},\"status\":{" CONDITIONS ",\"credential\":{\"name\":\"n-client\"},"
              "\"endpoint\":\"lab:8082\",\"tokenExpiresAt\":\"2024-01-01T00:00:00Z\"}}");

    assert_int_equal(jmp_kube_client_read(json, &client, NULL), 0);
    json_decref(json);
    assert_string_equal(client->object.api_version, "jumpstarter.dev/v1alpha1");
    assert_string_equal(client->object.kind, "Client");
    assert_meta(&client->object.metadata);
    assert_string_equal(client->spec.username, "dex:u");
    assert_conditions(client->status->conditions, client->status->n_conditions);
    assert_string_equal(client->status->credential->name, "n-client");
    assert_string_equal(client->status->endpoint, "lab:8082");
    assert_int_equal(client->status->token_expires.usec, NEW_YEAR);
    jmp_kube_object_free(&client->object);
}

JMP_TEST(every_member_of_an_exporter_is_read)
{
    struct jmp_kube_exporter *exporter = NULL;
    json_t *json =
        parse("{" META ",\"spec\":{\"username\":\"u\",\"enabled\":false},\"status\":{" CONDITIONS ","
              "\"credential\":{\"name\":\"c\"},\"leaseRef\":{\"name\":\"l\"},\"lastSeen\":\"2024-01-01T00:00:00Z\","
              "\"devices\":[{\"uuid\":\"1\",\"parent_uuid\":\"0\",\"labels\":{\"a\":\"b\"}},{}],"
              "\"endpoint\":\"lab:8082\",\"statusMessage\":\"busy\",\"exporterStatus\":\"LeaseReady\"}}");

    assert_int_equal(jmp_kube_exporter_read(json, &exporter, NULL), 0);
    json_decref(json);
    assert_meta(&exporter->object.metadata);
    assert_string_equal(exporter->spec.username, "u");
    assert_false(exporter->spec.enabled);
    assert_conditions(exporter->status->conditions, exporter->status->n_conditions);
    assert_string_equal(exporter->status->credential->name, "c");
    assert_string_equal(exporter->status->lease->name, "l");
    assert_int_equal(exporter->status->seen.usec, NEW_YEAR);
    assert_int_equal(exporter->status->n_devices, 2);
    assert_string_equal(exporter->status->devices[0].uuid, "1");
    assert_string_equal(exporter->status->devices[0].parent_uuid, "0");
    assert_string_equal(at(exporter->status->devices[0].labels, "a"), "b");
    assert_null(exporter->status->devices[1].labels);
    assert_string_equal(exporter->status->endpoint, "lab:8082");
    assert_string_equal(exporter->status->message, "busy");
    assert_string_equal(exporter->status->exporter_status, "LeaseReady");
    jmp_kube_object_free(&exporter->object);
}

JMP_TEST(every_member_of_a_lease_is_read)
{
    struct jmp_kube_lease *lease = NULL;
    json_t *json =
        parse("{" META ",\"spec\":{\"clientRef\":{\"name\":\"me\"},\"exporterRef\":{\"name\":\"e\"},"
              "\"selector\":{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"In\","
              "\"values\":[\"x\",\"y\"]},{\"key\":\"z\",\"operator\":\"Exists\"}]},\"duration\":\"abc\","
              "\"beginTime\":\"2024-01-01T00:00:00Z\",\"endTime\":\"2024-01-01T00:00:01Z\",\"tags\":{\"t\":\"1\"},"
              "\"context\":{\"c\":\"2\"},\"allowDisabled\":true,\"release\":true},"
              "\"status\":{\"ended\":true,\"beginTime\":\"2024-01-01T00:00:00Z\",\"endTime\":\"2024-01-01T00:00:01Z\","
              "\"exporterRef\":{\"name\":\"e\"},\"priority\":5,\"spotAccess\":true," CONDITIONS "}}");

    assert_int_equal(jmp_kube_lease_read(json, &lease, NULL), 0);
    json_decref(json);
    assert_meta(&lease->object.metadata);
    assert_string_equal(lease->spec.client.name, "me");
    assert_string_equal(lease->spec.exporter->name, "e");
    assert_string_equal(at(lease->spec.selector.match_labels, "a"), "1");
    assert_int_equal(lease->spec.selector.n_expressions, 2);
    assert_string_equal(lease->spec.selector.expressions[0].key, "k");
    assert_string_equal(lease->spec.selector.expressions[0].operator_, "In");
    assert_string_equal(json_string_value(json_array_get(lease->spec.selector.expressions[0].values, 1)), "y");
    assert_null(lease->spec.selector.expressions[1].values);
    assert_string_equal(lease->spec.duration, "abc");
    assert_int_equal(lease->spec.begin.usec, NEW_YEAR);
    assert_int_equal(lease->spec.end.usec, NEW_YEAR + 1000000);
    assert_string_equal(at(lease->spec.tags, "t"), "1");
    assert_string_equal(at(lease->spec.context, "c"), "2");
    assert_true(lease->spec.allow_disabled && lease->spec.release);
    assert_true(lease->status->ended && lease->status->spot_access);
    assert_string_equal(lease->status->begin.text, "2024-01-01T00:00:00Z");
    assert_int_equal(lease->status->end.usec, NEW_YEAR + 1000000);
    assert_string_equal(lease->status->exporter->name, "e");
    assert_int_equal(lease->status->priority, 5);
    assert_conditions(lease->status->conditions, lease->status->n_conditions);
    jmp_kube_object_free(&lease->object);
}

JMP_TEST(every_member_of_an_access_policy_is_read)
{
    struct jmp_kube_access_policy *policy = NULL;
    json_t *json = parse(
        "{" META ",\"spec\":{\"exporterSelector\":{\"matchLabels\":{\"board\":\"x\"}},\"policies\":["
        "{\"description\":\"d\",\"priority\":20,\"from\":[{\"clientSelector\":{\"matchLabels\":{\"team\":\"a\"}}},"
        "{\"clientSelector\":{\"matchExpressions\":[{\"key\":\"team\",\"operator\":\"DoesNotExist\"}]}}],"
        "\"maximumDuration\":\"1h30m\",\"spotAccess\":true},{}]}}");

    assert_int_equal(jmp_kube_access_policy_read(json, &policy, NULL), 0);
    json_decref(json);
    assert_meta(&policy->object.metadata);
    assert_string_equal(at(policy->spec.exporters.match_labels, "board"), "x");
    assert_int_equal(policy->spec.n_policies, 2);
    assert_string_equal(policy->spec.policies[0].description, "d");
    assert_int_equal(policy->spec.policies[0].priority, 20);
    assert_int_equal(policy->spec.policies[0].n_from, 2);
    assert_string_equal(at(policy->spec.policies[0].from[0].clients.match_labels, "team"), "a");
    assert_string_equal(policy->spec.policies[0].from[1].clients.expressions[0].operator_, "DoesNotExist");
    assert_string_equal(policy->spec.policies[0].maximum_duration, "1h30m");
    assert_true(policy->spec.policies[0].spot_access);
    assert_null(policy->spec.policies[1].maximum_duration);
    assert_int_equal(policy->spec.policies[1].n_from, 0);
    jmp_kube_object_free(&policy->object);
}

JMP_TEST(every_member_of_a_coordination_lease_is_read)
{
    struct jmp_kube_coordination_lease *lease = NULL;
    json_t *json =
        parse("{" META ",\"spec\":{\"holderIdentity\":\"h\",\"leaseDurationSeconds\":15,\"leaseTransitions\":4,"
              "\"acquireTime\":\"2024-01-01T00:00:00.000000Z\",\"renewTime\":\"2024-01-01T00:00:00.123456Z\","
              "\"strategy\":\"OldestEmulationVersion\",\"preferredHolder\":\"p\"}}");

    assert_int_equal(jmp_kube_coordination_lease_read(json, &lease, NULL), 0);
    json_decref(json);
    assert_meta(&lease->object.metadata);
    assert_string_equal(lease->spec.holder, "h");
    assert_int_equal(lease->spec.duration, 15);
    assert_int_equal(lease->spec.transitions, 4);
    assert_int_equal(lease->spec.acquired.usec, NEW_YEAR);
    assert_int_equal(lease->spec.renewed.usec, NEW_YEAR + 123456);
    assert_string_equal(lease->spec.strategy, "OldestEmulationVersion");
    assert_string_equal(lease->spec.preferred_holder, "p");
    jmp_kube_object_free(&lease->object);
}

JMP_TEST(what_is_absent_or_null_or_unknown_does_not_matter)
{
    static const char *const texts[] = {
        "{\"spec\":{}}",
        "{\"metadata\":null,\"spec\":{\"clientRef\":null,\"selector\":null,\"tags\":null,\"beginTime\":null},"
        "\"status\":null}",
        "{\"spec\":{\"colour\":[1]},\"more\":{}}",
    };

    for (enum jmp_kube_kind kind = JMP_KUBE_CLIENT; kind <= JMP_KUBE_COORDINATION_LEASE; kind++)
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
            struct jmp_kube_object *object = NULL;
            json_t *json = parse(texts[i]);

            assert_int_equal(jmp_kube_object_read(kind, json, &object, NULL), 0);
            assert_null(object->metadata.name);
            assert_int_equal(object->metadata.created.usec, JMP_KUBE_NO_TIME);
            assert_int_equal(object->metadata.deletion_grace_period, -1);
            if (kind == JMP_KUBE_EXPORTER)
                assert_true(CONTAINER_OF(object, struct jmp_kube_exporter, object)->spec.enabled);
            if (kind == JMP_KUBE_LEASE)
                assert_null(CONTAINER_OF(object, struct jmp_kube_lease, object)->status);
            jmp_kube_object_free(object);
            json_decref(json);
        }
}

JMP_TEST(a_member_of_another_type_is_named)
{
    static const struct {
        enum jmp_kube_kind kind;
        const char *text, *path;
    } rows[] = {
        { JMP_KUBE_LEASE, "[]", "" },
        { JMP_KUBE_LEASE, "{\"spec\":[]}", "spec" },
        { JMP_KUBE_LEASE, "{\"spec\":\"x\"}", "spec" },
        { JMP_KUBE_LEASE, "{\"spec\":42}", "spec" },
        { JMP_KUBE_LEASE, "{\"spec\":true}", "spec" },
        { JMP_KUBE_LEASE, "{\"spec\":null}", "spec" },
        { JMP_KUBE_LEASE, "{}", "spec" },
        { JMP_KUBE_LEASE, "{\"spec\":{\"duration\":5}}", "spec.duration" },
        { JMP_KUBE_LEASE, "{\"spec\":{\"tags\":{\"a\":1}}}", "spec.tags" },
        { JMP_KUBE_LEASE, "{\"spec\":{\"tags\":[]}}", "spec.tags" },
        { JMP_KUBE_LEASE, "{\"spec\":{\"release\":\"yes\"}}", "spec.release" },
        { JMP_KUBE_LEASE, "{\"spec\":{\"beginTime\":\"soon\"}}", "spec.beginTime" },
        { JMP_KUBE_LEASE, "{\"spec\":{\"selector\":{\"matchExpressions\":[{},{\"values\":[1]}]}}}",
          "spec.selector.matchExpressions[1].values" },
        { JMP_KUBE_LEASE, "{\"spec\":{},\"status\":{\"conditions\":{}}}", "status.conditions" },
        { JMP_KUBE_LEASE, "{\"spec\":{},\"status\":{\"conditions\":[7]}}", "status.conditions[0]" },
        { JMP_KUBE_LEASE, "{\"spec\":{},\"status\":{\"priority\":1.5}}", "status.priority" },
        { JMP_KUBE_LEASE, "{\"spec\":{},\"status\":{\"exporterRef\":\"e\"}}", "status.exporterRef" },
        { JMP_KUBE_CLIENT, "{\"metadata\":{\"labels\":{\"a\":null}}}", "metadata.labels" },
        { JMP_KUBE_CLIENT, "{\"metadata\":{\"finalizers\":[1]}}", "metadata.finalizers" },
        { JMP_KUBE_CLIENT, "{\"metadata\":{\"ownerReferences\":[{\"controller\":1}]}}",
          "metadata.ownerReferences[0].controller" },
        { JMP_KUBE_CLIENT, "{\"status\":{\"endpoint\":1}}", "status.endpoint" },
        { JMP_KUBE_EXPORTER, "{\"status\":{\"devices\":[{\"labels\":{\"a\":1}}]}}", "status.devices[0].labels" },
        { JMP_KUBE_ACCESS_POLICY, "{\"spec\":{\"policies\":[{\"from\":[{\"clientSelector\":[]}]}]}}",
          "spec.policies[0].from[0].clientSelector" },
        { JMP_KUBE_COORDINATION_LEASE, "{\"spec\":{\"leaseDurationSeconds\":4294967296}}",
          "spec.leaseDurationSeconds" },
        { JMP_KUBE_COORDINATION_LEASE, "{\"spec\":{\"renewTime\":7}}", "spec.renewTime" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        struct jmp_kube_object *object = NULL;
        struct jmp_error error = JMP_ERROR_INIT;
        json_t *json = parse(rows[i].text);

        assert_int_equal(jmp_kube_object_read(rows[i].kind, json, &object, &error), -EINVAL);
        assert_null(object);
        assert_string_equal(error.path, rows[i].path);
        json_decref(json);
    }
}

JMP_TEST(a_list_may_lack_items_and_names_the_one_that_is_wrong)
{
    static const char *const empty[] = { "{}", "{\"items\":null}", "{\"items\":[]}" };
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_kube_objects *list = NULL;
    json_t *json;

    for (size_t i = 0; i < ELEMENTSOF(empty); i++) {
        json = parse(empty[i]);
        assert_int_equal(jmp_kube_objects_read(JMP_KUBE_CLIENT, json, &list, NULL), 0);
        assert_int_equal(list->count, 0);
        assert_int_equal(list->metadata.remaining, -1);
        list = jmp_kube_objects_free(list);
        json_decref(json);
    }
    json =
        parse("{\"apiVersion\":\"v\",\"kind\":\"LeaseList\",\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"c\","
              "\"remainingItemCount\":2},\"items\":[{\"metadata\":{\"name\":\"a\"}},{\"metadata\":{\"name\":\"b\"}}]}");
    assert_int_equal(jmp_kube_objects_read(JMP_KUBE_COORDINATION_LEASE, json, &list, NULL), 0);
    json_decref(json);
    assert_string_equal(list->kind, "LeaseList");
    assert_string_equal(list->api_version, "v");
    assert_string_equal(list->metadata.resource_version, "5");
    assert_string_equal(list->metadata.continue_, "c");
    assert_int_equal(list->metadata.remaining, 2);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->items[1]->metadata.name, "b");
    list = jmp_kube_objects_free(list);

    json = parse("{\"items\":[{\"spec\":{}},{\"spec\":[]}]}");
    assert_int_equal(jmp_kube_objects_read(JMP_KUBE_LEASE, json, &list, &error), -EINVAL);
    assert_string_equal(error.path, "items[1].spec");
    json_decref(json);
    json = parse("{\"items\":{}}");
    assert_int_equal(jmp_kube_objects_read(JMP_KUBE_LEASE, json, &list, &error), -EINVAL);
    assert_string_equal(error.path, "items");
    json_decref(json);
}

JMP_TEST(a_record_that_is_written_keeps_what_it_does_not_know)
{
    struct jmp_kube_record record, again;
    json_t *json = parse("{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"holderIdentity\":\"x\",\"newer\":[1,2]},"
                         "\"extra\":{}}"),
           *before = json_deep_copy(json);

    assert_int_equal(jmp_kube_record_read(json, &record, NULL), 0);
    assert_int_equal(record.renewed, JMP_KUBE_NO_TIME);
    strcpy(record.holder, "y");
    record.renewed = NEW_YEAR;
    assert_int_equal(jmp_kube_record_write(json, &record), 0);
    assert_string_equal(at(json_object_get(json, "spec"), "renewTime"), "2024-01-01T00:00:00.000000Z");
    assert_null(json_object_get(json_object_get(json, "spec"), "acquireTime"));
    assert_int_equal(jmp_kube_record_read(json, &again, NULL), 0);
    assert_true(jmp_kube_record_equal(&record, &again));
    assert_true(json_equal(json_object_get(json, "metadata"), json_object_get(before, "metadata")));
    assert_true(json_equal(json_object_get(json, "extra"), json_object_get(before, "extra")));
    assert_int_equal(json_array_size(json_object_get(json_object_get(json, "spec"), "newer")), 2);
    json_decref(before);
    json_decref(json);
}

JMP_TEST(reading_survives_any_failed_allocation)
{
    json_t *json = parse("{" META ",\"spec\":{\"clientRef\":{\"name\":\"me\"},\"exporterRef\":{\"name\":\"e\"}},"
                         "\"status\":{" CONDITIONS "}}"),
           *list = json_pack("{s:[O,O]}", "items", json, json);

    for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
        struct jmp_kube_objects *objects = NULL;
        int r = jmp_kube_objects_read(JMP_KUBE_LEASE, list, &objects, NULL);

        assert_true(r == 0 ? objects != NULL : r == -ENOMEM && !objects);
        jmp_kube_objects_free(objects);
    }
    jmp_fault_disarm();
    json_decref(list);
    json_decref(json);
}
