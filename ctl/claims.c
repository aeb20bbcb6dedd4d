/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/claims.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"

int jmp_claims_read(const char *token, struct jmp_tree *tree, const struct jmp_node **ret, struct jmp_error *reterr)
{
    const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    _cleanup_free_ char *text = NULL, *bytes = NULL;
    ssize_t length;
    int r;

    if (!second || strchr(second + 1, '.'))
        return jmp_error_set(reterr, -EINVAL, "it has not the three parts of a JSON Web Token");
    text = strndup(first + 1, (size_t)(second - first - 1));
    bytes = text ? malloc(strlen(text) + 1) : NULL;
    if (!bytes)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    for (char *c = text; *c; c++)
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    length = jmp_base64_decode(text, bytes);
    r = length < 0 ? (int)length : jmp_json_parse(bytes, (size_t)length, tree, ret, NULL);
    if (r == -ENOMEM)
        return jmp_error_set(reterr, r, "%m");
    if (r < 0 || (*ret)->kind != JMP_NODE_MAP)
        return jmp_error_set(reterr, -EINVAL, "its middle part is not base64 of a JSON object");
    return 0;
}

bool jmp_claims_time(const struct jmp_node *claims, const char *key, int64_t *ret)
{
    const struct jmp_node *node = jmp_node_get(claims, key);

    if (!node || node->kind != JMP_NODE_NUMBER || node->number < 0 || node->number > 253402300799.0) /* the year 9999 */
        return false;
    *ret = (int64_t)node->number;
    return true;
}
