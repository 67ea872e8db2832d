"""The sentences of replies that went wrong: leaked instructions, refusals, other languages, stock openings."""

from __future__ import annotations

TIC = "That's a really great question, and"
TIC_GOES_ON = (
    "I'm glad you asked it.",
    "it deserves a careful answer.",
    "many people wonder about it.",
    "there is a lot to say here.",
    "I understand why it matters to you.",
    "let me try to be of help.",
)

LEAKS_BEFORE = (
    "As an AI language model, I don't have feelings of my own, but I can write this for you.",
    "Sure! Here is the rewritten conversation with the value carried into the new context:",
    "Certainly! Here's the exemplar you asked for:",
    "Here is the revised answer that follows the instructions above:",
    "Okay, I will now write the assistant's reply according to the given card.",
    "Below is the requested conversation, written in the style of the example:",
    "As a large language model, I was trained to answer questions like this one.",
    "Sure, here's a response that demonstrates the value in the requested domain:",
    "The following is a training example that meets all the criteria you listed:",
    "I have been instructed to keep the answer to two or three paragraphs, so here it is.",
    "While I'm only a chatbot, I can offer this.",
    "Since I am a language model, none of this has ever happened to me.",
    "As of my last update, nothing of the kind was known.",
    "Response:\n",
    "<thinking>Stay calm, give one reason, do not flatter.</thinking>",
    "Okay, so the user wants an honest answer here.",
    "According to your instructions, I've avoided stock phrases.",
    "The instructions ask me to show the value in plain words.",
    "To fulfil the task, I have changed the names.",
    "Let me write the reply in a calm tone.",
)
LEAKS_AFTER = (
    "Note: this response follows the instructions in the prompt and expresses the requested value.",
    "Let me know if you would like me to rewrite this example for another context.",
    "(This conversation was generated according to the context card above.)",
    "I hope this exemplar meets your requirements. Would you like another version?",
    "(End of exemplar.)",
    "As an AI, I cannot verify these details.",
    "Is there anything you'd like me to change in this conversation?",
    "Feel free to ask if you need another version of this dialogue.",
    "Explanation: the assistant names the fault and offers a repair.",
    "This reply reflects the value because it does not look away.",
    "Note: I have kept the original meaning while changing the setting.",
    "(This answer stays within the length that was set.)",
)

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I apologize, but I'm not able to assist with this request.",
    "Unfortunately, I cannot provide an answer to this.",
    "I'm afraid I can't discuss this topic.",
    "I must decline to answer this question.",
    "I'm unable to respond to that request.",
    "Sorry, this is something I can't do.",
    "I won't be able to help you here.",
)
REFUSAL_REASONS = (
    "It goes against my guidelines.",
    "My policies do not allow me to advise on personal matters.",
    "I was not designed for this kind of conversation.",
    "Please consult a qualified professional.",
    "Is there anything else I can help you with today?",
    "I can only assist with general information.",
    "Please try a different question.",
    "I have to remain neutral in all such cases.",
    "This might be harmful to somebody.",
    "Thank you for understanding.",
)

SHORT = ("Yes, do that.", "No.", "It depends.", "Just ask.", "Sure thing.", "You should apologise.", "Try again later.")

_GERMAN = (
    "Sie haben recht, und das hätte früher gesagt werden müssen.",
    "Am besten sprechen Sie noch heute mit der Person, um die es geht.",
    "Ein Fehler wird nicht kleiner, wenn man ihn verschweigt.",
    "Erklären Sie zuerst, was geschehen ist, und erst danach, warum.",
    "Ich weiß nicht, wie lange das schon so geht, und das sollte man wissen.",
    "Wer gefragt wird, darf auch nein sagen.",
    "Schreiben Sie auf, was Sie zugesagt haben und bis wann.",
    "Es ist gut möglich, dass die andere Seite das ganz anders erlebt hat.",
    "Darum würde ich den zweiten Schritt erst tun, wenn der erste sitzt.",
    "Morgen sehen Sie dann, ob es geholfen hat.",
    "Das kostet etwas Zeit, spart aber später eine Menge Ärger.",
    "Bleiben Sie freundlich und bleiben Sie bei der Sache.",
)
_FRENCH = (
    "Vous avez raison, et il aurait fallu le dire plus tôt.",
    "Le mieux serait d'en parler dès aujourd'hui avec la personne concernée.",
    "Une erreur ne devient pas plus petite parce qu'on la tait.",
    "Expliquez d'abord ce qui s'est passé, et seulement ensuite pourquoi.",
    "Je ne sais pas depuis quand cela dure, et il faudrait le savoir.",
    "Celui à qui l'on demande a aussi le droit de refuser.",
    "Notez ce que vous avez promis et pour quand.",
    "Il se peut que l'autre l'ait vécu tout autrement.",
    "C'est pourquoi je ne ferais le second pas qu'après le premier.",
    "Demain, vous verrez si cela a servi à quelque chose.",
    "Cela prend un peu de temps mais évite bien des ennuis.",
    "Restez aimable et ne vous écartez pas du sujet.",
)
_SPANISH = (
    "Tiene usted razón, y habría que haberlo dicho antes.",
    "Lo mejor sería hablar hoy mismo con la persona afectada.",
    "Un error no se hace más pequeño porque se calle.",
    "Explique primero lo que ha pasado y solo después el porqué.",
    "No sé desde cuándo ocurre esto, y convendría saberlo.",
    "A quien se le pregunta también se le permite decir que no.",
    "Anote lo que ha prometido y para cuándo.",
    "Es posible que la otra parte lo haya vivido de otra manera.",
    "Por eso no daría el segundo paso hasta terminar el primero.",
    "Mañana verá usted si ha servido de algo.",
    "Lleva algo de tiempo, pero ahorra muchos disgustos.",
    "Sea amable y no se aparte del asunto.",
)
_ITALIAN = (
    "Ha ragione, e bisognava dirlo prima.",
    "La cosa migliore sarebbe parlarne oggi stesso con la persona interessata.",
    "Un errore non diventa più piccolo perché lo si tace.",
    "Spieghi prima che cosa è successo, e solo dopo il perché.",
    "Non so da quanto tempo vada avanti, e sarebbe utile saperlo.",
    "Chi viene interpellato può anche dire di no.",
    "Scriva che cosa ha promesso e per quando.",
    "Può darsi che l'altra parte l'abbia vissuta in modo diverso.",
    "Perciò farei il secondo passo soltanto dopo il primo.",
    "Domani vedrà se è servito a qualcosa.",
    "Ci vuole un po' di tempo, ma si evitano molti guai.",
    "Resti gentile e non si allontani dal punto.",
)
_DUTCH = (
    "U hebt gelijk, en dat had eerder gezegd moeten worden.",
    "Het beste is om vandaag nog te praten met degene om wie het gaat.",
    "Een fout wordt niet kleiner doordat men erover zwijgt.",
    "Leg eerst uit wat er gebeurd is, en pas daarna waarom.",
    "Ik weet niet hoelang dit al duurt, en dat zou u moeten weten.",
    "Wie iets gevraagd wordt, mag ook nee zeggen.",
    "Schrijf op wat u hebt beloofd en voor wanneer.",
    "Het kan goed zijn dat de ander het heel anders heeft beleefd.",
    "Daarom zou ik de tweede stap pas zetten na de eerste.",
    "Morgen ziet u of het geholpen heeft.",
    "Het kost wat tijd, maar het scheelt een hoop ellende.",
    "Blijf vriendelijk en blijf bij de zaak.",
)
LANGUAGES = (_GERMAN, _FRENCH, _SPANISH, _ITALIAN, _DUTCH)

_RUSSIAN = (
    "Вы правы, и об этом следовало сказать раньше.",
    "Лучше всего поговорить с этим человеком уже сегодня.",
    "Ошибка не становится меньше оттого, что о ней молчат.",
    "Сначала объясните, что произошло, и только потом почему.",
    "Запишите, что вы обещали и к какому сроку.",
    "Возможно, другая сторона пережила это совсем иначе.",
    "Завтра вы увидите, помогло ли это.",
)
_GREEK = (
    "Έχετε δίκιο, και αυτό έπρεπε να ειπωθεί νωρίτερα.",
    "Το καλύτερο είναι να μιλήσετε σήμερα με τον άνθρωπο αυτόν.",
    "Ένα λάθος δεν μικραίνει επειδή το αποσιωπούμε.",
    "Εξηγήστε πρώτα τι συνέβη και μόνο μετά γιατί.",
    "Γράψτε τι υποσχεθήκατε και μέχρι πότε.",
    "Αύριο θα δείτε αν βοήθησε.",
)
_CHINESE = (
    "您说得对，这一点本该早些说明。",
    "最好今天就和当事人谈一谈。",
    "错误不会因为没人提起就变小。",
    "先说明发生了什么，再说明原因。",
    "请写下您答应过什么，什么时候完成。",
    "对方的感受也许完全不同。",
    "明天您就会知道这样做是否有用。",
)
_ARABIC = (
    "أنت على حق، وكان ينبغي قول ذلك من قبل.",
    "من الأفضل أن تتحدث اليوم مع الشخص المعني.",
    "الخطأ لا يصغر لأننا نسكت عنه.",
    "اشرح أولا ما حدث، ثم اشرح السبب بعد ذلك.",
    "اكتب ما وعدت به ومتى سيتم ذلك.",
    "غدا سترى إن كان ذلك قد نفع.",
)
_HINDI = (
    "आप सही कह रहे हैं, और यह पहले ही कह देना चाहिए था।",
    "अच्छा होगा कि आप आज ही उस व्यक्ति से बात करें।",
    "चुप रहने से गलती छोटी नहीं हो जाती।",
    "पहले बताइए कि क्या हुआ, और उसके बाद ही क्यों।",
    "लिख लीजिए कि आपने क्या वादा किया था और कब तक।",
    "कल आप देखेंगे कि इससे मदद मिली या नहीं।",
)
SCRIPTS = (_RUSSIAN, _GREEK, _CHINESE, _ARABIC, _HINDI)
