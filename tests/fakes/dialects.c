/* SPDX-License-Identifier: MIT */
#include "dialects.h"

#include <string.h>

#define LIST(...)                                                                           \
	{                                                                                   \
		(const char *const[]){ __VA_ARGS__ },                                       \
			sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *) \
	}

static const struct dialect dialects[] = {
	{
		.name = "chat",
		.framing = FRAMING_SSE,
		.text = LIST("/choices/0/delta/content", "/choices/0/delta/content/0/text",
			"/choices/0/delta/refusal"),
		.reasoning = LIST("/choices/0/delta/reasoning_content",
			"/choices/0/delta/reasoning", "/choices/0/delta/content/0/thinking/0/text"),
		.finish = LIST("/choices/0/finish_reason"),
		.sentinel = "[DONE]",
		.error = LIST("/error"),
		.prompt_tokens = "/usage/prompt_tokens",
		.completion_tokens = "/usage/completion_tokens",
		.model = "/model",
	},
	{
		.name = "messages",
		.framing = FRAMING_SSE,
		.text = LIST("/delta/text"),
		.reasoning = LIST("/delta/thinking"),
		.finish = LIST("/delta/stop_reason"),
		.end_pointer = "/type",
		.end_value = "message_stop",
		.error = LIST("/error"),
		.prompt_tokens = "/message/usage/input_tokens",
		.completion_tokens = "/usage/output_tokens",
		.model = "/message/model",
	},
	{
		.name = "gemini",
		.framing = FRAMING_SSE,
		.text = LIST("/candidates/0/content/parts/0/text"),
		.finish = LIST("/candidates/0/finishReason"),
		.error = LIST("/error"),
		.prompt_tokens = "/usageMetadata/promptTokenCount",
		.completion_tokens = "/usageMetadata/candidatesTokenCount",
		.model = "/modelVersion",
	},
	{
		.name = "gemini-document",
		.framing = FRAMING_JSON,
		.text = LIST("/candidates/0/content/parts/0/text"),
		.finish = LIST("/candidates/0/finishReason"),
		.require = LIST("/candidates/0/finishReason"),
		.error = LIST("/error"),
		.completion_tokens = "/usageMetadata/candidatesTokenCount",
	},
	{
		.name = "cohere",
		.framing = FRAMING_SSE,
		.text = LIST("/delta/message/content/text"),
		.reasoning = LIST("/delta/message/content/thinking"),
		.finish = LIST("/delta/finish_reason"),
		.bad_finish = LIST("TIMEOUT"),
		.end_pointer = "/type",
		.end_value = "message-end",
		.error = LIST("/delta/error", "/error"),
		.prompt_tokens = "/delta/usage/tokens/input_tokens",
		.completion_tokens = "/delta/usage/tokens/output_tokens",
	},
	{
		.name = "sglang",
		.framing = FRAMING_SSE,
		.text = LIST("/text"),
		.is_cumulative = true,
		.finish = LIST("/meta_info/finish_reason/type"),
		.sentinel = "[DONE]",
		.error = LIST("/error"),
		.prompt_tokens = "/meta_info/prompt_tokens",
		.completion_tokens = "/meta_info/completion_tokens",
	},
	{
		.name = "tgi",
		.framing = FRAMING_SSE,
		.text = LIST("/token/text"),
		.finish = LIST("/details/finish_reason"),
		.error = LIST("/error"),
		.completion_tokens = "/details/generated_tokens",
	},
	{
		.name = "completion",
		.framing = FRAMING_SSE,
		.text = LIST("/content"),
		.finish = LIST("/stop_type", "/stop"),
		.error = LIST("/error"),
		.prompt_tokens = "/tokens_evaluated",
		.completion_tokens = "/tokens_predicted",
	},
	{
		.name = "completion-document",
		.framing = FRAMING_JSON,
		.text = LIST("/content"),
		.finish = LIST("/stop_type", "/stop"),
		.require = LIST("/stop"),
		.error = LIST("/error"),
		.completion_tokens = "/tokens_predicted",
	},
	{
		.name = "ollama",
		.framing = FRAMING_NDJSON,
		.text = LIST("/response"),
		.reasoning = LIST("/thinking"),
		.finish = LIST("/done_reason", "/done"),
		.error = LIST("/error"),
		.prompt_tokens = "/prompt_eval_count",
		.completion_tokens = "/eval_count",
		.model = "/model",
	},
	{
		.name = "triton",
		.framing = FRAMING_SSE,
		.text = LIST("/text_output"),
		.error = LIST("/error"),
	},
	{
		.name = "triton-document",
		.framing = FRAMING_JSON,
		.text = LIST("/text_output"),
		.require = LIST("/text_output"),
		.error = LIST("/error"),
	},
	{
		.name = "mlserver",
		.framing = FRAMING_SSE,
		.text = LIST("/outputs/0/data/0"),
		.error = LIST("/error"),
	},
	{
		.name = "embeddings",
		.framing = FRAMING_JSON,
		.embedding = "/data/0/embedding",
		.error = LIST("/error"),
		.prompt_tokens = "/usage/prompt_tokens",
		.model = "/model",
	},
	{
		.name = "any",
		.framing = FRAMING_ANY,
		.error = LIST("/error"),
	},
};

const struct dialect *dialect_named(const char *name)
{
	for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
		if (strcmp(dialects[i].name, name) == 0)
			return &dialects[i];
	return NULL;
}
