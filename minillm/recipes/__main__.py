"""Make again what the course ships: `python -m minillm.recipes base-tiny` (or `tokenizer`)."""

import sys

if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["base-tiny"]:
            from minillm.recipes.publish import make_base_tiny

            make_base_tiny()
        elif sys.argv[1:] == ["tokenizer"]:
            from minillm.recipes.vocabulary import make_course_tokenizer

            for name, found in make_course_tokenizer().items():
                print(name, found)
        else:
            sys.exit("usage: python -m minillm.recipes base-tiny | tokenizer")
    except ValueError as error:
        sys.exit(f"minillm: {error}")
