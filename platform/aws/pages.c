#include "platform/aws/pages.h"

void pages_merge(json *into, const json *page) {
    for (const json *it = json_first(page); it; it = it->next) {
        json *mine = (json *)(uintptr_t)json_get(into, it->string);
        if (json_is_array(mine) && json_is_array(it)) {
            for (const json *e = json_first(it); e; e = e->next) {
                json_push(mine, json_dup(e));
            }
        } else if (!mine || (json_is_string(mine) && json_is_array(it))) {
            json_add_item(into, it->string, json_dup(it));
        } else if (json_is_object(mine) && json_is_object(it)) {
            pages_merge(mine, it);
        }
    }
}

void pages_drop_marks(json *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(value, "IsTruncated");
    cJSON_DeleteItemFromObjectCaseSensitive(value, "Marker");
    cJSON_DeleteItemFromObjectCaseSensitive(value, "nextToken");
}
