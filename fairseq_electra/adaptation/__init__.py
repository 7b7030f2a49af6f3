"""Further pre-training in a domain: the parts of ``fairseq-electra adapt``.

``source`` loads the model, ``text`` reads the domain's text, ``new_words`` chooses words and adds them to the
vocabulary, ``resizing`` gives the model their rows, ``replay`` mixes old text in, ``training`` writes the
command line of ``fairseq-train``, ``figures`` compares the model before and after, and ``steps`` runs all of
it.
"""
