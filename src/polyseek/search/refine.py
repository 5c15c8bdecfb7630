def refine(ranking, query, store, options):
    return ranking
