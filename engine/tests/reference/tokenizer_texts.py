"""The texts that tokenizers are compared on: every script family and everything that splits badly. Data only, by what it probes."""

SCRIPTS = [
    "Hello, world!", "The quick brown fox jumps over the lazy dog.", "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg.",
    "Voix ambiguë d’un cœur qui, au zéphyr, préfère les jattes de kiwis.", "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia.",
    "Pchnąć w tę łódź jeża lub ośm skrzyń fig.", "Příliš žluťoučký kůň úpěl ďábelské ódy.", "Árvíztűrő tükörfúrógép", "Pijamalı hasta yağız şoföre çabucak güvendi.",
    "Kæmi ný öxi hér, ykist þjófum nú bæði víl og ádrepa.", "Ταχίστη αλώπηξ βαφής ψημένη γη, δρασκελίζει υπέρ νωθρού κυνός", "ᾍσομαι ἀρχόμενος", "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Щастям б’єш жук їх глицю в фон й ґедзь пріч.", "Љубазни фењерџија чађавог лица хоће да ми покаже штос.", "Կրնամ ապակի ուտել և ինծի անհանգիստ չըներ։", "ქართული ენა", "ႠႡႢ ⴀⴁⴂ Აბგ",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה", "שָׁלוֹם עֲלֵיכֶם", "نص حكيم له سر قاطع وذو شأن عظيم", "بِسْمِ ٱللَّهِ ٱلرَّحْمَٰنِ", "همهٔ افراد بشر آزاد می‌شوند", "میں کانچ کھا سکتا ہوں", "ܫܠܡܐ", "ދިވެހި", "ⵜⴰⵎⴰⵣⵉⵖⵜ",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में", "क्षत्रिय ज्ञान श्री", "আমার সোনার বাংলা", "ਸਾਰੇ ਮਨੁੱਖ", "બધા માનવ", "ସମସ୍ତ ମଣିଷ", "யாமறிந்த மொழிகளிலே", "అందరు మనుషులు", "ಎಲ್ಲಾ ಮಾನವರು", "മനുഷ്യരെല്ലാവരും", "සියලු මනුෂ්‍යයෝ",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า", "ມະນຸດທຸກຄົນ", "ဇီဝဗေဒ မြန်မာ", "មនុស្សទាំងអស់", "བོད་སྐད་ཡིན།", "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ", "ꦲꦏ꧀ꦱꦫꦗꦮ", "ᮘᮞ ᮞᮥᮔ᮪ᮓ", "ᜊᜌ᜔ᜊᜌᜒᜈ᜔",
    "我能吞下玻璃而不伤身体。", "我能吞下玻璃而不傷身體。", "𠮷野家で𩸽を食べる", "いろはにほへと ちりぬるを", "イロハニホヘト チリヌルヲ ワカヨタレソ", "ﾊﾝｶｸ ｶﾀｶﾅ ABC", "키스의 고유조건은 입술끼리 만나야 하고", "한글", "ㄱㄴㄷㅏㅑ", "ㄅㄆㄇㄈ", "ꆈꌠꁱꂷ",
    "የአማርኛ ፊደል።", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "ᐃᓄᒃᑎᑐᑦ", "ᚠᛇᚻ᛫ᛒᛦᚦ", "᚛᚛ᚉᚑᚅᚔᚉ᚜", "𐌰𐌹𐍅𐌰𐌲𐌲𐌴𐌻𐌾𐍉", "𓀀𓁐𓆣", "𒀀𒁀𒂀", "𐎀𐎁𐎂", "ߒߞߏ", "ꔀꔁ", "𞤀𞤁𞤂 𞤢𞤣", "𑄌𑄋𑄴𑄟𑄳𑄦", "ⰃⰎⰀⰃⰑⰎⰉⰜⰀ", "ⲧⲙⲛⲧⲣⲙⲛⲕⲏⲙⲉ",
    "ǅ ǈ ǋ Ǆ ǆ", "ʰ ʷ ˠ ª º", "ÅÅÅ İıIi ſ ß ẞ", "mixed русский and English και ελληνικά 和中文 와 한국어", "日本語English混在text",
]

EMOJI = [
    "🙂", "😀😃😄", "👍🏽", "👩‍👩‍👧‍👦", "👨🏿‍🚀", "🏳️‍🌈", "🏴‍☠️", "🇫🇷🇩🇪", "🇫", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️ ❤ ❤︎", "1️⃣ #️⃣ *️⃣", "☀️☁️☂️", "a🙂b", "a 🙂 b", "🙂🙂🙂🙂🙂🙂🙂🙂", "✅ done ❌ failed", "👁️‍🗨️", "🤷🏻‍♀️ dunno", "🫠🫨",
]

MARKS = [
    "é", "e\u0301", "a\u0308\u0323", "Z\u0351\u036b\u0343\u0316\u0329a\u0300l\u0301g\u0302o\u0303", "\u0301", " \u0301a", "n\u0303o n\u0303", "क\u094dष", "\u0e01\u0e33", "ﬁ ﬂ ﬀ", "İ\u0307", "\u1100\u1161\u11a8", "a\u20dd", "x\u0332y\u0332",
    "1\u0301", "5\u20e3", "'\u0301s",
]

SPACES = [
    "", " ", "  ", "   ", "    ", "        ", " " * 33, " " * 257, " a", "  a", "   a", "a ", "a  ", "a b", "a  b", "a   b", "a    b", "a     b", " a b ", "\t", "\t\t", "\ta", "\t\ta", " \ta", "\t a", "a\tb", "a\t\tb", "a \t b", "\ta\tb\t",
    "\n", "\n\n", "\n\n\n", "\n\n\n\n\n", "a\n", "\na", "a\nb", "a\n\nb", "a\n\n\nb", "a \nb", "a\n b", "a\n  b", "a  \n  b", "a\n\n  b", "a\n \n b", "  \n", "\n  ", "\r", "\r\n", "a\rb", "a\r\nb", "a\r\n\r\nb", "a\n\rb", "a\r\n\n\rb\r", "a \r\n b\n",
    "\v", "\f", "a\vb\fc", "a\u0085b", "\u0085", "\u00a0", "a\u00a0b", "a\u00a0\u00a0b", "a \u00a0b", "a\u00a0 b", "\u1680", "\u2000\u2001\u2002\u2003", "a\u2003b", "a\u2028b\u2029c", "a\u202fb", "a\u205fb", "a\u3000b", "\u3000\u3000日本", "a\u200bb", "\u200b", "a\ufeffb", "\ufeffa", "a\u180eb",
    "a\u2060b", "\u00ad", "soft\u00adhyphen", "\u200e\u200fabc\u202b\u202c", "a\u200cb\u200dc", "  5", "a  5", "5  a", " 5", "\n5", "  !", "a  !", "\t!", "\n\n!", "  'd", "  's x",
]

NUMBERS = [
    "0", "7", "10", "123", "1234567890", "3.14159", "-1", "+1", "1,000,000", "1e-5", "0x1F", "1st 2nd 3rd", "a1b2c3", "1a", "a1", "1 2 3", "12 345", "2024-03-14T15:09:26Z", "$5.00", "50%", "½", "1½", "a½b", "¼ ½ ¾", "²", "x²+y³", "H₂O", "Ⅷ", "Ⅰ Ⅱ Ⅲ ⅳ",
    "①②③", "❶❷", "⑽", "㊀㊿", "٠١٢٣", "۱۲۳", "१२३", "১২৩", "๑๒๓", "１２３", "𝟙𝟚𝟛", "𝟗", "〇一二三", "ↀↁ", "፩፪፫", "௰௱", "〡〢", "𐄇𐄈", "𒐀", "1٢३", "⁴⁵", "‰", "№5", "1²3", " ½", "'1", "'½s", "1's", "²'s",
]

CONTRACTIONS = [
    "I'm", "you're", "he's", "we've", "they'll", "I'd", "can't", "'tis", "I'M", "YOU'RE", "HE'S", "WE'VE", "THEY'LL", "I'D", "CAN'T", "I'Ll", "'s", "'S", "'t'd", "''s", "' s", "x's's", "it's'", "'re're", "'ve", "'vex", "'max", "'sup", "rock'n'roll", "I’m can’t", "'ll'", "d'accord l'eau",
    "a'b", "'dd", "O'Reilly's", " 's", " 'm", "!'s", "1'm", "\n's", "'ſ", "'ſ'S",
]

PUNCTUATION = [
    "!", "!!", "!!!", "...", "…", " !", " ...", "a...b", "a, b; c: d.", "(a)[b]{c}<d>", "«a» „b“ “c” ‘d’", "—–-‐", "a--b", "a - b", "_a_b_", "__init__", "a_b", "\"quoted\"", "\\\\", "\\n", "/usr/bin/env", "~`@#$%^&*()-_=+[]{}|;:'\",.<>/?", "¿Qué? ¡No!", "。、，！？", "•·●", "€£¥₹", "∑∫√∞≈≠", "←→⇒", "┌─┐│└┘", "█▓▒░", "©®™", "a+b=c", "a@b.co", "#tag", "!a", "!1", "a!", "? !", "!?\n", "-\n-\n",
    "=" * 40, "-" * 80, "." * 100, "!?" * 30,
]

CODE = [
    "fn main() {\n    println!(\"Hello, {}!\", name);\n}\n", "def f(x):\n\treturn x ** 2  # square\n", "for (int i = 0; i < n; ++i) {\n    a[i] += b[i] * 2;\n}", "if (a && b || !c) { return; }", "<div class=\"x\">\n  <p>text</p>\n</div>", "SELECT * FROM t WHERE id = 42;", "{\"a\": [1, 2, {\"b\": null}]}",
    "x = lambda y: y\n\n\nclass A:\n    pass\n", "git commit -m 'it works'", "https://example.org/path?q=1&r=%20#frag", "camelCaseName snake_case_name SCREAMING_CASE kebab-case", "#include <stdio.h>\r\n\r\nint main(void)\r\n{\r\n\treturn 0;\r\n}\r\n", "let x: &'a str = \"\\u{1F600}\";", "a->b::c.d", "1+1==2", "E = mc^2", "| a | b |\n|---|---|\n| 1 | 2 |\n", "- item\n  - sub\n    1. one\n",
]

SPECIAL_AS_TEXT = [
    "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|im_start|>user\nhi<|im_end|>\n", "a<|im_end|>b", " <|im_end|> ", "<|im_end|><|im_end|>", "<|im_end", "|im_end|>", "<|IM_END|>", "<repo_name>", "<file_sep>", "<empty_output>", "<s></s>", "<unk>", "[INST] hi [/INST]", "<0x0A>", "▁a", "Ġa", "ĠĊ", "Ċ",
]

CONTROLS = [chr(c) for c in [*range(0x20), 0x7F]] + [
    "\0\0", "a\0b", " \0 ", "\x01\x02\x03\x04", "a\x1b[31mred\x1b[0m", "\x08\x08", "!\x04!", "!\x06\x06?", "a\x13\x14b", "\x16", "\x1d\x1e\x1f", "\u0080\u0081\u009f", "\u001c\u001d a", "a\x7fb",
    "\ufffd", "\ufffe\uffff", "\ue000", "\U000e0001", "\U0010ffff", "\u0378", "a\u0378b", " \u0378", "\u0378!",
]

LONG = [
    "a" * 100, "ab" * 200, "the" * 50, "aaaa" * 64 + "b", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "pneumonoultramicroscopicsilicovolcanoconiosis", "x" * 1000, "é" * 200, "漢" * 120, "\u0301" * 100, "😀" * 60, "\n" * 100, "\t" * 70, "0" * 120,
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.", "supercalifragilisticexpialidocious " * 8, "A" * 64 + "a" * 64, "ba" * 33 + "c",
]

PROSE = [
    "user\nWhat is the capital of France?", "assistant\n", "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face", "Once upon a time, there was a little girl named Lily.", "It was the best of times, it was the worst of times", "To be, or not to be: that is the question:\nWhether 'tis nobler in the mind to suffer",
    "Dr. Smith's 3rd-floor flat (No. 12B) isn't cheap: it's £1,250/mo.", "HELLO WORLD", "hELLO wORLD", "Hello", " Hello", "hello", " hello", "HeLLo", "I", "a", "é", "ñ", "ß",
]

ALL = list(dict.fromkeys(
    SCRIPTS + EMOJI + MARKS + SPACES + NUMBERS + CONTRACTIONS + PUNCTUATION + CODE + SPECIAL_AS_TEXT + CONTROLS + LONG + PROSE
))
