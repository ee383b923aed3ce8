"""What every index must do, on Elasticsearch: the tests of the contract suite, with stores whose searches wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from agent_session_core import ElasticsearchIndex, Message, Session, SessionStore
from tests.contract import test_index, test_index_options
from tests.contract.test_index import TestFinding as FindingContract
from tests.contract.test_index import TestFollowing as FollowingContract
from tests.contract.test_index import TestScopes as ScopesContract
from tests.services.conftest import Open, remove

trips = test_index.trips


@pytest.fixture
def open_store(shared: Open) -> Open:
    """What opens a store for a tenant of its own."""
    return shared


@pytest.fixture
def store(open_store: Open) -> SessionStore:
    """An empty store."""
    return open_store()


@pytest.fixture
def session(store: SessionStore) -> Session:
    """A session without messages."""
    return store.session("trip")


class TestFinding(FindingContract):
    """What a search finds."""


class TestFollowing(FollowingContract):
    """The index follows what happens to messages."""


class TestScopes(ScopesContract):
    """Who finds what."""

    test_scores_do_not_depend_on_others = None  # type: ignore[assignment]  # words are counted in the whole index


test_filters = test_index_options.test_filters
test_noise_is_left_out_by_role_and_size = test_index_options.test_noise_is_left_out_by_role_and_size
test_a_filter_chooses_among_the_ranked = test_index_options.test_a_filter_chooses_among_the_ranked
test_by_session = test_index_options.test_by_session
test_neighbours_are_whole_turns = test_index_options.test_neighbours_are_whole_turns
test_the_same_sentence_takes_one_place = test_index_options.test_the_same_sentence_takes_one_place
test_min_score = test_index_options.test_min_score
test_recency = test_index_options.test_recency
test_explanations_add_up = test_index_options.test_explanations_add_up
test_an_explanation_is_one_line_for_people = test_index_options.test_an_explanation_is_one_line_for_people
test_words_with_one_stem_share_what_it_earned = test_index_options.test_words_with_one_stem_share_what_it_earned
test_what_cannot_be_used_is_named = test_index_options.test_what_cannot_be_used_is_named


def test_settings_serve_several_stores(server: str, tmp_path: Path) -> None:
    """Of two stores opened with the same settings, closing one leaves the other its client."""
    index = ElasticsearchIndex(server, follow=False)
    stores = [SessionStore.open(f"sqlite:///{tmp_path / 'two.db'}", index=index) for _ in range(2)]
    stores[0].close()
    stores[1].session("trip").append(Message.user("We fly to Lisbon."))
    assert stores[1].search("Lisbon", wait=True)
    with Elasticsearch(server) as client:
        remove(client, stores[1])
    stores[1].close()
