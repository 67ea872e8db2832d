"""What a teacher says of its task or of itself in place of an answer, as patterns for polars (Rust's `regex`).

They look for kinds of sentence, not for sentences: who speaks (a model of itself), what is announced (a text as a text:
"response", "exemplar"), whose orders are named. English only. Each is made narrow by what would be an honest answer:
"Here is the recipe", "The user manual says", "As an AI researcher", "Let me know if you would like to change the date".
Not seen: a leak that names neither a text, nor orders, nor a model.

As in `signs`, words begin and end where ASCII letters do.
"""

from __future__ import annotations

_BEGINS = r"(?:^|[.!?\n(]\s*)"
_ENDS = r"(?:[.!?:;,)\]*]|\s*$)"
_I_HAVE = r"(?:i|i[’']ve|i have|i[’']ll|i will|i shall|i should|i must|i need to)(?: now| also| tried to)?"

# What an answer is only to those who asked for one as material.
_REPLY = r"(?:response|reply|conversation|dialogue|exemplar|rewrite|exchange|assistant[’']s turn)"
_WRITTEN = (
    r"(?:answer|reply|response|text|conversation|dialogue|exemplar|example|rewrite|revision|version|draft|json"
    r"|exchange)"
)
_ASKED_FOR = r"(?:rewritten|revised|requested|updated|improved|generated|training|sample)"
_WRITES = (
    r"(?:writ\w+|wrote|rewr\w+|generat\w+|produc\w+|compos\w+|craft\w*|draft\w*|rephras\w+|express\w*|kept|keep"
    r"|avoid\w*)"
)
_ORDERS = (
    r"(?:instructions?|guidelines?|prompt|requirements?|specifications?|criteria|rubric|persona|scenario|brief"
    r"|context card|given context|seed(?: exemplar| example)?|word limit)"
)
_OPENER = (
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|alright|great|understood|got it)(?-u:\b)"
    r"[^\n]{0,20}?[,.!:]?\s*)?"
)

_ANNOUNCED = (
    r"(?:here(?:[’']s| is| are)|below is|the following is)\s+(?:the|an?|my|your|one|another)\s+"
    rf"(?:{_ASKED_FOR}\s+{_WRITTEN}"
    r"|(?:[\w-]+\s+){0,2}?(?:conversation|dialogue|exemplar|rewrite|revision|version|draft|json|scenario"
    r"|situation|exchange)"
    r"|(?:[\w-]+\s+){0,2}?(?:response|reply)(?: to the (?:scenario|situation|prompt|user))?:[ *]*\n"
    rf"|{_WRITTEN}\s+(?:that|which|to|in)\s+(?:meets|follows|expresses|demonstrates|shows|the (?:style|requested"
    r"|given)))"
    r"|here(?:[’']s| is) my (?:draft|attempt|try|version|take)(?-u:\b)"
)
_LABEL = (
    r"\[?(?:system|user|assistant|scenario|situation|context|because)\]?\s*:|\[(?:system|user|assistant)\]"
    r"|### ?(?:instruction|response|input)|ai\s*:"
    rf"|(?:rewritten|revised|improved|generated) {_WRITTEN}[ *]*:"
    rf"|(?:final|sample|new|draft|updated) {_REPLY}[ *]*:"
    rf"|{_REPLY}[ *]*:[ *]*\n|(?:response|reply|exemplar):\*\*"
    r"|(?:response|answer|reply|assistant|think|thinking|reasoning|scratchpad|exemplar|conversation|output)>"
    r"|(?:title|facet|human)\W{0,3}:[^\n]*\n(?:[^\n]*\n){0,4}?\W{0,3}(?:user|assistant|ai)\W{0,3}:"
)
_TASK = (
    rf"i (?:will|shall|[’']ll) now (?:write|generate|produce|rewrite)(?-u:\b)[^\n]{{0,40}}?{_WRITTEN}"
    r"|i (?:have been|was) (?:instructed|prompted) to(?-u:\b)"
    r"|i(?:[’']ve| have)? (?:been|was) (?:told|asked|tasked|given|assigned)(?-u:\b)[^.!?\n]{0,20}?"
    r"(?:(?:the|a) task|(?:to|with) (?:writ|generat|rewrit|produc|respond|answer|role-?play|act as|avoid|show|express))"
    rf"|i(?:[’']ve| have) (?:rewritten|reworded|rephrased|revised|generated) (?:the|this|your) (?:answer|{_REPLY})"
    rf"|(?:i(?:[’']ll| will| shall)|let me)(?: now)? (?:write|draft|generate|produce|rewrite|compose|craft) "
    rf"(?:an?|the|this|my)(?-u:\b)[^.!?\n]{{0,30}}?(?-u:\b){_REPLY}(?-u:\b)"
    r"|(?:thank you|thanks) for (?:the|your|this) (?:[\w-]+ )?(?:prompt|instructions|guidelines|context card)(?-u:\b)"
    r"|(?:so,? )?the user (?:is|wants|asks|asked|needs|has)(?: now)? ?(?:asking|asked)? "
    rf"(?:me|for|about|how|what|why|whether|to|an? (?:[\w-]+ )?(?:{_REPLY}|answer|letter))(?-u:\b)"
    r"|(?:so,? )?the user (?:is|was|seems|wants|asks|asked|needs|has|says|said)(?-u:\b)[^\n]{0,120}?(?-u:\b)"
    r"i (?:should|need to|must|have to|will)(?-u:\b)"
)
LEAKED_AT_THE_START = (
    rf"(?i)^\W*{_OPENER}(?:{_ANNOUNCED}|{_TASK}|{_LABEL})"
    # Not the first words, but among the first sentences.
    rf"|(?i){_BEGINS}(?:let me|i[’']ll) (?:write|draft|compose|generate) (?:one|it)[.:]?\s*\n"
    r"|(?i)(?-u:\b)(?:we|i) (?:need|have|want|am supposed|am asked|was asked|are asked) to (?:write|produce|generate"
    r"|compose|craft|create|output|rewrite|draft) (?:an?|the|this|another)(?-u:\b)"
    rf"[^.!?\n]{{0,30}}?(?-u:\b){_REPLY}(?-u:\b)"
    rf"|(?i){_BEGINS}(?:thank you|thanks)[^.!?\n]*[.!?] here(?:[’']s| is) my (?:draft|attempt|try|version|take)(?-u:\b)"
)
_MODEL = (
    r"(?:ai|artificial intelligence|(?:large )?language model|chat ?bot|virtual assistant|ai[- ]powered \w+)"
    r"(?: (?:language )?(?:model|assistant|chatbot|system|program))?"
)
_OF_ITSELF = (
    r"(?:^|[.!?\n(]\s*|[,;] |because )(?:(?:speaking )?as|being"
    r"|(?:since |while |although |though )?i(?:[’']| a)m (?:just |only |merely )?)\s?an? "
    rf"{_MODEL}(?:[,.;:!)]|\s*$| (?:and|but|so|i|it|that|who|which|with|without|by|from|trained|created|developed"
    r"|made|built|designed|programmed)(?-u:\b))"
    r"|(?-u:\b)i(?:[’']m| am| was|[’']ve been| have been) (?:created|trained|developed|designed|built|made|programmed) "
    r"(?:by (?:openai|anthropic|google|deepmind|meta|mistral|deepseek|alibaba|microsoft|xai)(?-u:\b))"
    r"|(?-u:\b)i(?:[’']m| am) (?:chatgpt|gpt-?\d|(?:claude|gemini|llama|qwen|mistral|copilot|grok|bard), an? (?:ai|"
    r"large|virtual|helpful))"
    r"|(?-u:\b)my (?:training data|knowledge cut-?off|system prompt)(?-u:\b)"
    r"|(?-u:\b)(?:against|beyond|outside) my programming(?-u:\b)"
    r"|(?-u:\b)my programming (?:does|prevents|forbids|allows)"
    r"|(?-u:\b)as of my (?:last|latest|most recent) (?:[\w-]+ )?update"
)
_OF_ITS_ORDERS = (
    r"(?-u:\b)the (?:context card|seed (?:exemplar|example)|exemplar above|requested (?:value|format|style))(?-u:\b)"
    rf"|(?-u:\b)the (?:instructions?|prompt) above(?:{_ENDS}| (?:i|and|asks?|says?|tells?|requires?|to)(?-u:\b))"
    rf"|(?-u:\b)(?:this|seed|training|my) exemplar(?-u:\b)|(?-u:\b)(?:the|another|new) exemplar(?:{_ENDS}| for(?-u:\b))"
    r"|(?-u:\b)an exemplar (?:for|that)(?-u:\b)"
    rf"|(?-u:\b)this {_WRITTEN} (?:was generated|has been generated|follows|meets|adheres to|satisfies)(?-u:\b)"
    rf"|(?-u:\b)this {_REPLY} (?:was|is|has been) (?:written|designed|crafted|meant|intended|created)(?-u:\b)"
    rf"|(?-u:\b)this (?:answer|{_REPLY}) (?:demonstrates|illustrates|expresses|exemplifies|embodies|shows|reflects"
    r"|conveys) the (?:value|facet|principle|tone|quality|virtue)(?-u:\b)"
    rf"|{_BEGINS}(?:per|as per|following|based on|according to|in line with|in keeping with|in accordance with|given) "
    rf"(?:your|the|these)(?-u:\b)[^.!?\n]{{0,40}}?(?-u:\b){_ORDERS}(?-u:\b)[^.!?\n]{{0,30}}?,? "
    rf"(?:{_I_HAVE} {_WRITES}|i (?:stay|should|must)(?-u:\b)|here(?:[’']s| is) my"
    r"|the (?:reply|response|assistant)(?-u:\b))"
    r"|(?-u:\b)as the (?:rubric|prompt) (?:asks|says|requires|demands)(?-u:\b)"
    rf"|{_BEGINS}as (?:requested|instructed|you asked),? {_I_HAVE} (?:{_WRITES}|not (?:use|mention|write))"
    r"|</?(?:think|thinking|scratchpad)>"
)
LEAKED_ANYWHERE = f"(?i)(?:{_OF_ITSELF}|{_OF_ITS_ORDERS})"

_REWORK = (
    r"(?:changes?|adjust\w*|revis\w*|edits?|modif\w*|variations?|versions?|rewrite|rephrase|reword|tweak\w*|refine\w*"
    r"|shorten|lengthen|expand)"
)
LEAKED_AT_THE_END = (
    r"(?i)(?:(?:let me know|feel free to ask) if you|would you like|do you want|shall i|should i"
    r"|is there anything (?:else )?you)(?-u:\b)"
    rf"[^.!?\n]{{0,40}}?(?-u:\b){_REWORK}(?-u:\b)(?:\s*(?:[.!?)]|$)|[^.!?\n]{{0,20}}?(?-u:\b)(?:{_WRITTEN}|tone|style|length"
    r"|wording)(?-u:\b))"
    r"|(?i)i hope this (?:meets|satisfies|fits|follows) (?:the|your|all) \w+"
    r"|(?i)\n\W*(?:note|notes|explanation|reasoning|rationale|comment)\W{1,4}\s*(?:this|the|in this) "
    rf"(?:answer|assistant|{_REPLY})(?-u:\b)"
    rf"|(?i)\n\W*note\W{{1,4}}\s*{_I_HAVE} (?:{_WRITES}|made sure|followed|ensured|adhered|aimed)"
    r"|(?i)(?-u:\b)word count\W{1,3}\d+|(?i)[\[(]end of (?:the |this )?(?:answer|example|message|text|"
    rf"{_REPLY})\W*$"
)
