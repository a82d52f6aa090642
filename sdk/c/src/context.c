/// What a stage is told about itself.
#include "../include/forebay/stage.h"

const char *forebay_context_attribute(const forebay_context *context, const char *name) {
    for (size_t i = 0; i < context->attributes_length; i++)
        if (forebay_text_is(context->attributes[i].name, name))
            return context->attributes[i].value.length ? context->attributes[i].value.data : "";
    return NULL;
}
